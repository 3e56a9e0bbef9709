# cython: language_level=3
# Part of _core.pyx: DICOM files that need no decision, from their octets to a complete temporary.

cdef enum:
    LOOKED_AT = 65536  # octets that are read at first: all of most small files
    RECOGNISED = 32768  # octets in which everything stands that tells what a file is (fastscp.ingest.recognise)


cdef inline bint is_vr(const uint8_t *at, const char *names) noexcept:
    """Tell whether two octets are one of these VRs."""
    while names[0]:
        if at[0] == <uint8_t>names[0] and at[1] == <uint8_t>names[1]:
            return True
        names += 2
    return False


cdef class Files:
    """The files of an ingest that are built as nearly all are: preamble, group 0002, a data set in little endian.

    ``syntax_of(UID)`` returns the transfer syntaxes as read and as written, and whether VRs are explicit; None for those
    that are not taken. ``describe(SOP class, UID)`` returns the prefix of file names and the group 0002 around the instance
    UID, before and behind its element; None as before. ``copy(source, offset, target, at, octets)`` copies between descriptors.
    """

    cdef Depot _depot
    cdef object _syntax_of, _describe, _copy
    cdef dict _syntaxes, _known
    cdef uint8_t *_buffer
    # the file at hand
    cdef const uint8_t *_class
    cdef const uint8_t *_instance
    cdef Py_ssize_t _class_size, _instance_size, _begin  # of the data set
    cdef const uint8_t *_syntax
    cdef Py_ssize_t _syntax_size

    def __cinit__(self):
        self._buffer = <uint8_t *>PyMem_Malloc(LOOKED_AT)
        if self._buffer == NULL:
            raise MemoryError

    def __init__(self, Depot depot not None, syntax_of, describe, copy):
        self._depot = depot
        self._syntax_of = syntax_of
        self._describe = describe
        self._copy = copy
        self._syntaxes = {}
        self._known = {}

    def __dealloc__(self):
        PyMem_Free(self._buffer)

    def prepare(self, bytes path not None, bint linked):
        """Make the temporary of what is in a file; None, and nothing is left of it, where the usual way has to.

        ``linked`` allows that the path is a symbolic link. What is returned: descriptor of the temporary, name, SOP class, SOP
        instance, octets, inode number; of the source octets, time of its last change in ns, device, inode number; and the
        values of Study and Series Instance UID and Modality, empty where they were not looked for; its transfer syntax.
        """
        cdef int fd = openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (0 if linked else O_NOFOLLOW), 0)
        if fd < 0:
            return None
        try:
            return self._prepare(fd)
        finally:
            close(fd)

    def publish(self, int fd, bytes name not None):
        """Give a temporary its name in the depot's directory; return whether it replaced a file, None where the usual way has to."""
        replaced = []
        if self._depot._ready() and self._depot._publish(fd, self._depot._fd, name, replaced):
            return bool(replaced)
        return None

    def publish_in(self, int fd, bytes name not None, int target, bytes path not None, unsigned long long dev, unsigned long long ino):
        """Give a temporary a name that nothing has in the directory ``target``, if the path leads to it; False where it cannot be."""
        cdef int copy
        if not same_place(path, dev, ino):
            return False
        copy = dup(fd)
        if copy < 0 or close(copy):
            return False
        return self._depot._link(fd, target, name) == 0

    cdef object _prepare(self, int fd):
        cdef long long source[4]
        cdef long long own[4]
        cdef Depot depot = self._depot
        cdef Header header = None
        cdef Py_ssize_t got, octets, head = 0, size = 0
        cdef const uint8_t *data
        cdef char name[LONGEST_NAME + 1]
        cdef uint8_t *scratch
        cdef iovec *pieces = depot._pieces
        cdef int temporary
        cdef bint whole = False
        if not look_at(fd, source):
            return None
        got = pread(fd, self._buffer, min(source[0], <long long>LOOKED_AT), 0)
        if got != min(source[0], <long long>LOOKED_AT) or not self._meta(got):
            return None
        syntaxes = self._how()
        if syntaxes is None or not self._identify(got, <bint>syntaxes[1]):
            return None
        known = self._about()
        if known is None:
            return None
        data = self._buffer + self._begin
        octets = source[0] - self._begin
        if depot._most_octets and octets > depot._most_octets:
            return None
        if not depot._preserving:
            header = depot._find(<tuple>syntaxes[0], data, got - self._begin, octets, self._class, self._class_size, self._instance,
                                 self._instance_size)
            if header is None:
                return None
            size = header.size
            if len(depot._scratch) < LONGEST_HEAD + header.out_size:
                depot._scratch = bytearray(LONGEST_HEAD + header.out_size)
        if put_name(name, <bytes>known[0], self._instance, self._instance_size, depot._extension) == 0 or not depot._ready():
            return None
        scratch = <uint8_t *>depot._scratch
        if depot._files:
            head = put_head(scratch, <tuple>known, self._instance, self._instance_size)
            if head == 0:
                return None
        pieces[0].iov_base, pieces[0].iov_len = scratch, head
        pieces[1].iov_base, pieces[1].iov_len = scratch + LONGEST_HEAD, 0
        if header is not None:
            header._write(data, scratch + LONGEST_HEAD)
            pieces[1].iov_len = header.out_size
        pieces[2].iov_base, pieces[2].iov_len = <void *>(data + size), got - self._begin - size
        size = head + pieces[1].iov_len + pieces[2].iov_len
        temporary = openat(depot._fd, b".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0o666)
        if temporary < 0:
            return None
        try:
            if writev(temporary, pieces, 3) == size and look_at(temporary, own):
                if source[0] > got:
                    self._copy(fd, got, temporary, size, source[0] - got)
                    size += source[0] - got
                whole = True
        except OSError:
            pass  # the usual way meets it too, and tells
        finally:
            if not whole:
                close(temporary)
        if not whole:
            return None
        return (temporary, <bytes>name, <bytes>PyBytes_FromStringAndSize(<const char *>self._class, self._class_size),
                <bytes>PyBytes_FromStringAndSize(<const char *>self._instance, self._instance_size), size, own[3],
                source[0], source[1], source[2], source[3],
                b"" if header is None else header._value(data, 0), b"" if header is None else header._value(data, 1),
                b"" if header is None else header._value(data, 2),
                <bytes>PyBytes_FromStringAndSize(<const char *>self._syntax, self._syntax_size))

    cdef bint _meta(self, Py_ssize_t got) noexcept:
        """Find the transfer syntax and where the data set begins (PS3.10 §7.1); False for what is unusual."""
        cdef const uint8_t *data = self._buffer
        cdef Py_ssize_t at = 132, start, length, end = min(got, <Py_ssize_t>RECOGNISED)
        self._syntax_size = 0
        if end < 140 or memcmp(data + 128, b"DICM", 4):
            return False
        while at + 8 <= end and little16(data + at) == 0x0002:
            if is_vr(data + at + 4, b"UIULSHAE"):
                start, length = at + 8, little16(data + at + 6)
            elif is_vr(data + at + 4, b"OB") and at + 12 <= end:
                start, length = at + 12, little32(data + at + 8)
            else:
                return False
            if length > end - start:
                return False
            if little16(data + at + 2) == 0x0010:
                self._syntax, self._syntax_size = data + start, uid_size(data + start, length)  # none, for what is unusual
            at = start + length
        self._begin = at
        return self._syntax_size > 0 and at + 8 <= end

    cdef bint _identify(self, Py_ssize_t got, bint explicit) noexcept:
        """Find SOP class and instance among the first elements of the data set; False where they are not as usual."""
        cdef const uint8_t *data = self._buffer
        cdef Py_ssize_t at = self._begin, start, length, size, end = min(got, <Py_ssize_t>RECOGNISED)
        cdef uint16_t element
        self._class_size = self._instance_size = 0
        while at + 8 <= end and little16(data + at) == 0x0008:
            element = little16(data + at + 2)
            if element > 0x0018:
                break
            if not explicit:
                start, length = at + 8, little32(data + at + 4)
            elif is_vr(data + at + 4, b"UICSDATMDTSHLOUL"):
                start, length = at + 8, little16(data + at + 6)
            else:
                return False
            if length > end - start:  # an undefined one too
                return False
            if element == 0x0016 or element == 0x0018:
                size = uid_size(data + start, length)  # none, for what is unusual
                if element == 0x0016:
                    self._class, self._class_size = data + start, size
                else:
                    self._instance, self._instance_size = data + start, size
            at = start + length
        return self._class_size > 0 and self._instance_size > 0 and at + 8 <= end and little16(data + at) >= 0x0008

    cdef object _how(self):
        """Return ((as read, as written), whether VRs are explicit) of the file at hand; None for what is not taken."""
        key = <bytes>PyBytes_FromStringAndSize(<const char *>self._syntax, self._syntax_size)
        if key not in self._syntaxes:
            if len(self._syntaxes) >= 256:
                self._syntaxes.clear()
            self._syntaxes[key] = self._syntax_of(key.decode("ascii"))
        return self._syntaxes[key]

    cdef object _about(self):
        """Return what is known of files of this class and transfer syntax; None for what is not taken."""
        key = (<bytes>PyBytes_FromStringAndSize(<const char *>self._class, self._class_size),
               <bytes>PyBytes_FromStringAndSize(<const char *>self._syntax, self._syntax_size))
        if key not in self._known:
            if len(self._known) >= 256:
                self._known.clear()
            self._known[key] = self._describe(key[0].decode("ascii"), key[1].decode("ascii"))
        return self._known[key]
