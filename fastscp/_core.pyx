# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What is hot and needs no decision, compiled: known headers, and C-STORE requests that came whole in one read.

Everything here has a counterpart in Python that does the same, octet for octet: ``Header`` is what
``fastscp.dicom.engine.recognise`` compares and renders with; what ``Lane`` takes are requests that
``fastscp.worker.service`` would store without a word, and what ``Files`` makes ready of a file is what
``fastscp.ingest.preparing`` would. Whatever is unusual is left alone, before anything of it was
done: ``Lane.take`` and ``Files.prepare`` return, and the usual way begins with the same octets. So there are no errors here but those of
memory.

Invariants: every length is compared with what is there before an octet is read (``Lane._message`` for what a peer
sent, ``Files`` for what a file has, ``Header.__cinit__`` for what was recorded); a file that could not be written and named as a whole never shows.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EEXIST, ENOENT, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy, memset

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <stdio.h>
    #include <unistd.h>
    #include <sys/stat.h>
    #include <sys/types.h>
    #include <sys/uio.h>

    static int same_directory(const char *path, unsigned long long dev, unsigned long long ino)
    {
        struct stat status;
        return stat(path, &status) == 0 && (unsigned long long)status.st_dev == dev
            && (unsigned long long)status.st_ino == ino;
    }

    /* octets, time of the last change in ns, device, inode number of a regular file */
    static int look_at(int fd, long long *facts)
    {
        struct stat status;
        if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
            return 0;
        facts[0] = status.st_size;
        facts[1] = (long long)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
        facts[2] = (long long)status.st_dev;
        facts[3] = (long long)status.st_ino;
        return 1;
    }

    static int same_place(const char *path, unsigned long long dev, unsigned long long ino)
    {
        struct stat status;
        return lstat(path, &status) == 0 && (unsigned long long)status.st_dev == dev
            && (unsigned long long)status.st_ino == ino;
    }
    """
    struct iovec:
        void *iov_base
        size_t iov_len
    int O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_TMPFILE, O_RDWR, O_CLOEXEC, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_FDCWD
    int openat(int, const char *, int, int)
    int linkat(int, const char *, int, const char *, int)
    int renameat(int, const char *, int, const char *)
    int dup(int)
    int close(int)
    ssize_t pread(int, void *, size_t, long long)
    ssize_t writev(int, const iovec *, int)
    int look_at(int, long long *)
    int same_directory(const char *, unsigned long long, unsigned long long)
    int same_place(const char *, unsigned long long, unsigned long long)

cdef enum:
    MOST_FRAGMENTS = 128  # of one data set; a writev(2) takes 1,024
    LONGEST_UID = 64
    LONGEST_NAME = 255
    LONGEST_HEAD = 1024  # of a file: preamble and group 0002


cdef inline uint32_t big32(const uint8_t *at) noexcept:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline uint32_t little32(const uint8_t *at) noexcept:
    return <uint32_t>at[3] << 24 | <uint32_t>at[2] << 16 | <uint32_t>at[1] << 8 | at[0]


cdef inline uint16_t little16(const uint8_t *at) noexcept:
    return <uint16_t>(at[1] << 8 | at[0])


cdef inline uint8_t *put16(uint8_t *at, uint32_t value) noexcept:
    at[0] = value & 0xFF
    at[1] = value >> 8 & 0xFF
    return at + 2


cdef inline uint8_t *put32(uint8_t *at, uint32_t value) noexcept:
    return put16(put16(at, value), value >> 16)


cdef inline uint8_t *put(uint8_t *at, const void *octets, size_t size) noexcept:
    memcpy(at, octets, size)
    return at + size


cdef struct Part:
    Py_ssize_t begin  # in the input, or in the constants where ``width`` is negative
    Py_ssize_t size
    Py_ssize_t width  # of numbers whose byte order changes; 0: none does


cdef class Header:
    """One recorded header: how it is recognised, and what is written for it.

    ``octets`` are those it was recorded from and ``mask`` is FF over what must be the same again; ``texts`` says where
    the last two octets of each text are, ``uids`` where UIDs begin and end; ``blanks`` are the octets that end no UID.
    ``script`` describes the output: (begin, end) and (begin, end, width) of the input, and constants. ``sop_class``
    and ``sop_instance`` say where these values are, (-1, -1) where they are not, and so does ``told`` of Study and
    Series Instance UID and of Modality. ``complete`` tells that a data set
    that ends behind the header, and ``value_octets`` of a value behind it, is written by the script and as it is.
    """

    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t out_size
    cdef readonly Py_ssize_t value_octets
    cdef readonly bint complete
    cdef bytes _mask, _expected, _constants, _blanks
    cdef Py_ssize_t _probe, _texts, _uids, _parts
    cdef Py_ssize_t _class_begin, _class_end, _instance_begin, _instance_end
    cdef Py_ssize_t[6] _told
    cdef Py_ssize_t *_numbers  # the texts, then begin and end of each UID
    cdef Part *_script

    def __cinit__(self, bytes octets, bytes mask, Py_ssize_t probe, texts, uids, bytes blanks, script,
                  Py_ssize_t value_octets, tuple sop_class, tuple sop_instance, told, bint complete):
        cdef Py_ssize_t at = 0, begin, end, width
        size = len(mask)
        constants = bytearray()
        if len(octets) < size or not 0 <= probe <= size - 8:
            raise ValueError("a header is shorter than its mask")
        self.size = size
        self.value_octets = value_octets
        self.complete = complete
        self._mask = mask
        self._expected = bytes(a & b for a, b in zip(octets, mask))
        self._probe = probe
        self._blanks = blanks
        self._texts, self._uids, self._parts = len(texts), len(uids), len(script)
        self._numbers = <Py_ssize_t *>PyMem_Malloc((self._texts + 2 * self._uids + 1) * sizeof(Py_ssize_t))
        self._script = <Part *>PyMem_Malloc((self._parts + 1) * sizeof(Part))
        if self._numbers == NULL or self._script == NULL:
            raise MemoryError
        for begin in texts:
            self._numbers[at] = self._inside(begin, begin + 2)
            at += 1
        for begin, end in uids:
            if begin >= end:
                raise ValueError("a UID without octets")
            self._numbers[at], self._numbers[at + 1] = self._inside(begin, end), end
            at += 2
        at = 0
        for part in script:
            if isinstance(part, bytes):
                self._script[at] = Part(len(constants), len(part), -1)
                constants += part
            else:
                begin, end = part[:2]
                width = part[2] if len(part) == 3 else 0
                if width < 0:
                    raise ValueError("numbers of a negative width")
                self._script[at] = Part(self._inside(begin, end), end - begin, width)
            self.out_size += self._script[at].size
            at += 1
        self._constants = bytes(constants)
        self._class_begin, self._class_end = sop_class
        self._instance_begin, self._instance_end = sop_instance
        at = 0
        for begin, end in told:
            if at == 6:
                raise ValueError("more is told than three values")
            if begin < 0:
                begin = end = 0
            self._told[at], self._told[at + 1] = self._inside(begin, end), end
            at += 2
        if at != 6:
            raise ValueError("less is told than three values")
        if self._class_begin >= 0:
            self._inside(self._class_begin, self._class_end)
        if self._instance_begin >= 0:
            self._inside(self._instance_begin, self._instance_end)

    def __dealloc__(self):
        PyMem_Free(self._numbers)
        PyMem_Free(self._script)

    cdef Py_ssize_t _inside(self, Py_ssize_t begin, Py_ssize_t end) except -1:
        if not 0 <= begin <= end <= self.size:
            raise ValueError("something of a header lies outside of it")
        return begin

    cdef bint _equals(self, const uint8_t *buf) noexcept:
        """Tell whether ``size`` octets have this shape and no value in them needs a correction."""
        cdef const uint8_t *mask = <const uint8_t *>PyBytes_AS_STRING(self._mask)
        cdef const uint8_t *expected = <const uint8_t *>PyBytes_AS_STRING(self._expected)
        cdef const uint8_t *blanks = <const uint8_t *>PyBytes_AS_STRING(self._blanks)
        cdef Py_ssize_t at, end, number, size = self.size
        cdef uint64_t word, under, wanted
        if memcmp(buf + self._probe, expected + self._probe, 8):
            return False
        for at in range(0, size - 7, 8):
            memcpy(&word, buf + at, 8)
            memcpy(&under, mask + at, 8)
            memcpy(&wanted, expected + at, 8)
            if word & under != wanted:
                return False
        for at in range(size & ~7, size):
            if buf[at] & mask[at] != expected[at]:
                return False
        for number in range(self._texts):
            at = self._numbers[number]
            if buf[at] == 32 and buf[at + 1] == 32:
                return False
        for number in range(self._texts, self._texts + 2 * self._uids, 2):
            end = self._numbers[number + 1] - 1
            for at in range(self._numbers[number], end):
                if not buf[at] & 0x80 and buf[at] < 0x2E:  # digits and the dot are the octets from 2EH on
                    return False
            if memchr(blanks, buf[end], PyBytes_GET_SIZE(self._blanks)) != NULL:
                return False
        return True

    cdef void _write(self, const uint8_t *buf, uint8_t *out) noexcept:
        """Write ``out_size`` octets for ``size`` octets that are equal to this header."""
        cdef const uint8_t *constants = <const uint8_t *>PyBytes_AS_STRING(self._constants)
        cdef Py_ssize_t number, at, octet
        cdef Part part
        for number in range(self._parts):
            part = self._script[number]
            if part.width < 0:
                memcpy(out, constants + part.begin, part.size)
            elif part.width == 0:
                memcpy(out, buf + part.begin, part.size)
            else:
                at = 0
                while at + part.width <= part.size:
                    for octet in range(part.width):
                        out[at + octet] = buf[part.begin + at + part.width - 1 - octet]
                    at += part.width
                memcpy(out + at, buf + part.begin + at, part.size - at)  # an incomplete last one stays
            out += part.size

    cdef bint _names(self, const uint8_t *buf, const uint8_t *sop_class, Py_ssize_t class_size,
                     const uint8_t *sop_instance, Py_ssize_t instance_size) noexcept:
        """Tell whether the data set has the SOP class and instance of its command, each with at most one NUL."""
        return (same_uid(buf, self._class_begin, self._class_end, sop_class, class_size)
                and same_uid(buf, self._instance_begin, self._instance_end, sop_instance, instance_size))

    cdef bint _is_of(self, const uint8_t *buf, bytes study) noexcept:
        """Tell whether the data set's Study Instance UID is this one, with at most one NUL."""
        return same_uid(buf, self._told[0] if self._told[1] else -1, self._told[1], <const uint8_t *>PyBytes_AS_STRING(study),
                        PyBytes_GET_SIZE(study))

    cdef bytes _value(self, const uint8_t *buf, int which):
        """Return the octets of a value that is told; none where there is none."""
        return PyBytes_FromStringAndSize(<const char *>buf + self._told[2 * which], self._told[2 * which + 1] - self._told[2 * which])

    def matches(self, bytes buf not None):
        """Tell whether ``buf`` begins with this header, and nothing in it needs a correction."""
        return len(buf) >= self.size and self._equals(<const uint8_t *>PyBytes_AS_STRING(buf))

    def render(self, bytes buf not None):
        """Return what is written for a header that matches."""
        if len(buf) < self.size:
            raise ValueError("a header is cut off")
        out = PyBytes_FromStringAndSize(NULL, self.out_size)
        self._write(<const uint8_t *>PyBytes_AS_STRING(buf), <uint8_t *>PyBytes_AS_STRING(out))
        return out


cdef bint same_uid(const uint8_t *buf, Py_ssize_t begin, Py_ssize_t end, const uint8_t *uid, Py_ssize_t size) noexcept:
    if begin < 0 or not size <= end - begin <= size + 1:
        return False
    return memcmp(buf + begin, uid, size) == 0 and (end - begin == size or buf[end - 1] == 0)


cdef class Depot:
    """Where a worker puts objects: what all of its lanes have in common.

    ``directory`` is a ``fastscp.store.directory.Directory``, which keeps its descriptor as long as its path names the
    same directory. ``files`` tells whether a file begins with preamble and group 0002, ``preserving`` that data sets
    are written as they come; else they are written by ``shapes``. ``most_octets`` limits a data set; 0 does not.
    """

    cdef object _directory, _shapes
    cdef bytes _path, _extension
    cdef bint _files, _preserving, _by_proc
    cdef int _fd
    cdef unsigned long long _dev, _ino
    cdef Py_ssize_t _most_octets
    cdef bytearray _scratch
    cdef iovec _pieces[MOST_FRAGMENTS + 2]  # of the message at hand; head and header of the file come first

    def __init__(self, directory, bytes path, bytes extension, *, bint files, bint preserving, shapes, Py_ssize_t most_octets):
        self._directory = directory
        self._shapes = shapes
        self._path = path
        self._extension = extension
        self._files = files
        self._preserving = preserving
        self._most_octets = most_octets
        self._fd = -1
        self._scratch = bytearray(4096)

    cdef bint _ready(self) except -1:
        """Have the directory of the path open; False where it has no anonymous files, or is not there."""
        cdef int fd = self._directory.fd
        if fd >= 0 and fd == self._fd and same_directory(PyBytes_AS_STRING(self._path), self._dev, self._ino):
            return True
        self._fd = -1
        found = self._directory.anonymous_place()
        if found is None:
            return False
        self._fd, self._dev, self._ino = found
        return True

    cdef Header _find(self, tuple syntaxes, const uint8_t *buf, Py_ssize_t size, Py_ssize_t octets, const uint8_t *sop_class,
                      Py_ssize_t class_size, const uint8_t *instance, Py_ssize_t instance_size):
        """Return what is known of a data set of ``octets`` that is built like one before, and ends where that did; else None.

        ``size`` octets of it are in ``buf``.
        """
        cdef Header header
        cdef Py_ssize_t index = 0
        for shape in self._shapes.recent(syntaxes):
            header = <Header>shape.compiled
            if (header.complete and header.size <= size and header.size + header.value_octets == octets
                    and header._equals(buf)):
                if not header._names(buf, sop_class, class_size, instance, instance_size):
                    return None
                self._shapes.met(syntaxes, index)
                return header
            index += 1
        return None

    cdef int _link(self, int fd, int target, const char *name) noexcept:
        """Give an anonymous file a name; return an errno."""
        cdef char path[32]
        if not self._by_proc:
            if linkat(fd, b"", target, name, AT_EMPTY_PATH) == 0:
                return 0
            if errno != ENOENT:
                return errno
            # the directory is gone, or this kernel does not let everybody: its other way tells
        snprintf(path, sizeof(path), b"/proc/self/fd/%d", fd)
        if linkat(AT_FDCWD, path, target, name, AT_SYMLINK_FOLLOW) == 0:
            self._by_proc = True
            return 0
        return errno

    cdef bint _publish(self, int fd, int target, const char *name, list replaced) except -1:
        """Give the whole file its name, in the place of an earlier one if need be; False where the usual way has to."""
        cdef int failed = dup(fd)
        # some file systems tell what they could not write only at close(2), and the last one would be too late
        if failed < 0 or close(failed):
            return False
        failed = self._link(fd, target, name)
        if failed == 0:
            return True
        if failed != EEXIST:
            return False
        if target != self._fd and not self._ready():
            return False
        try:
            hidden = self._directory.hide(fd)
        except OSError:
            return False
        hidden_name = <bytes>hidden.encode("ascii")
        if renameat(self._fd, PyBytes_AS_STRING(hidden_name), target, name):
            self._directory.remove(hidden)
            return False
        replaced.append(<bytes>name)
        return True

    cdef bint _store(self, int target, const char *name, iovec *pieces, int count, Py_ssize_t octets, list replaced) except -1:
        """Write one file and name it in ``target``. False, and nothing is left of it, where that is not possible at once."""
        cdef int fd = openat(target, b".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0o666)
        cdef bint stored
        if fd < 0:
            return False
        stored = writev(fd, pieces, count) == octets
        try:
            stored = stored and self._publish(fd, target, name, replaced)
        finally:
            close(fd)  # its errors were asked for before it had a name
        return stored


cdef class Lane:
    """The C-STORE requests of one association that come whole, one at a time.

    ``contexts`` maps a presentation context's id to the pair of its transfer syntaxes, as received and as written;
    contexts that take no objects are left out. ``describe(id, SOP class)`` returns the prefix of file names and the
    group 0002 around the instance UID: what is before its element and what is behind it. ``max_length`` is what we
    take in a P-DATA-TF, ``peer_max_length`` what the peer takes; 0 is any. ``tells``: what was stored is in ``told``.
    ``sorts``: objects go into the place of their study (``enter``), others are left alone.
    """

    cdef Depot _depot
    cdef dict _contexts, _known
    cdef object _describe
    cdef Py_ssize_t _max_length, _peer_max_length
    # the message at hand
    cdef const uint8_t *_class
    cdef const uint8_t *_instance
    cdef Py_ssize_t _class_size, _instance_size, _octets, _count
    cdef uint16_t _message_id
    cdef uint8_t _context
    cdef bint _tells, _sorts
    cdef bytes _study, _place  # of the place: Study Instance UID and path
    cdef int _place_fd
    cdef unsigned long long _place_dev, _place_ino
    #: (context id, SOP class, SOP instance, file name, its octets, whether it was there, study, series, modality) of each
    cdef readonly list told
    cdef public str directory  #: where files are, as the operator wrote it
    cdef readonly Py_ssize_t stored  #: objects of the last ``take``
    cdef readonly Py_ssize_t written  #: octets of their files
    cdef readonly list replaced  #: names of those in whose place an earlier file was

    def __init__(self, Depot depot not None, dict contexts, describe, *, Py_ssize_t max_length, Py_ssize_t peer_max_length,
                 bint tells=False, bint sorts=False):
        self._tells, self._sorts = tells, sorts
        self._place_fd = -1
        self._depot = depot
        self._contexts = contexts
        self._known = {}
        self._describe = describe
        self._max_length = max_length
        self._peer_max_length = peer_max_length

    def enter(self, bytes study not None, bytes path not None, int fd, unsigned long long dev, unsigned long long ino):
        """Put objects of this study into the directory ``fd``, as long as the path leads to it; the caller keeps that open."""
        self._study, self._place = study, path
        self._place_fd, self._place_dev, self._place_ino = fd, dev, ino

    def leave(self):
        """Put no further objects anywhere."""
        self._place_fd = -1

    def take(self, const uint8_t[::1] octets not None, bytearray answers not None, Py_ssize_t most):
        """Store what can be stored of what was read, and append the answers; return how many octets that took.

        The octets must begin with a message; no more than ``most`` are stored. ``stored`` and ``written`` tell what came of it.
        """
        cdef const uint8_t *data
        cdef Py_ssize_t taken = 0, size = octets.shape[0], length
        self.stored = self.written = 0
        self.replaced = []
        self.told = []
        if size == 0:
            return 0
        data = &octets[0]
        while taken < size and self.stored < most:
            length = self._message(data + taken, size - taken)
            if length == 0 or not self._serve(answers):
                break
            taken += length
        return taken

    def missing(self, const uint8_t[::1] octets not None):
        """Return how many octets, at least, a message lacks that would be taken if it were whole; 0 for others.

        What was read must begin with the message. Where nothing tells how long it is, one octet is missing.
        """
        cdef const uint8_t *data
        cdef Py_ssize_t size = octets.shape[0], at, length, begin, first = 0, got = 0
        cdef int count = 0
        cdef Header header
        if size < 12:
            return 0
        data = &octets[0]
        at = self._fragment(data, size)
        if at == 0 or data[11] & 3 != 3 or not self._request(data + 12, at - 12):
            return 0
        self._context = data[10]
        syntaxes = <tuple>self._contexts.get(self._context)
        if syntaxes is None or (self._sorts and self._place_fd < 0):
            return 0
        begin = at
        while size - at >= 12:
            length = self._fragment(data + at, size - at)
            if length == 0:  # the last one here, and not whole; or nothing for us
                if big32(data + at + 2) + <Py_ssize_t>6 <= size - at:
                    return 0
                break
            if data[at + 10] != self._context or data[at + 11] & 3 or count == MOST_FRAGMENTS:
                return 0  # also where it is whole
            count += 1
            first = first or length
            got += length - 12
            at += length
        if not self._may_be_fragment(data + at, size - at):
            return 0  # what breaks a rule is answered now, not when all of it is there
        if self._depot._preserving or first == 0:
            return 1
        for shape in self._depot._shapes.recent(syntaxes):
            header = <Header>shape.compiled
            if header.complete and header.size <= first - 12 and header._equals(data + begin + 12):
                length = header.size + header.value_octets
                return max(1, begin + length - size) if got < length else 0
        return 0

    cdef Py_ssize_t _message(self, const uint8_t *data, Py_ssize_t size) noexcept:
        """Take apart a message that is whole and as nearly every requestor sends it; return its octets, 0 for others."""
        cdef Py_ssize_t length, at, end
        cdef uint8_t flags
        length = self._fragment(data, size)
        if length == 0 or data[11] & 3 != 3:
            return 0
        self._context = data[10]
        if not self._request(data + 12, length - 12):
            return 0
        self._count = 0
        self._octets = 0
        at = length
        while True:
            length = self._fragment(data + at, size - at)
            if length == 0 or data[at + 10] != self._context or self._count == MOST_FRAGMENTS:
                return 0
            flags = data[at + 11] & 3
            if flags & 1:
                return 0
            self._depot._pieces[self._count + 2].iov_base = <void *>(data + at + 12)
            self._depot._pieces[self._count + 2].iov_len = length - 12
            self._count += 1
            self._octets += length - 12
            at += length
            if flags & 2:
                return at

    cdef Py_ssize_t _fragment(self, const uint8_t *data, Py_ssize_t size) noexcept:
        """Return the octets of a P-DATA-TF with one PDV that is there as a whole, else 0 (PS3.8 §9.3.5)."""
        cdef Py_ssize_t length
        if size < 12 or data[0] != 4:
            return 0
        length = big32(data + 2)
        if length < 6 or length > size - 6 or (self._max_length and length > self._max_length):
            return 0
        return length + 6 if <Py_ssize_t>big32(data + 6) == length - 4 else 0

    cdef bint _may_be_fragment(self, const uint8_t *data, Py_ssize_t size) noexcept:
        """Tell whether octets that are not all there may be, as far as they go, a fragment of the data set at hand."""
        cdef Py_ssize_t length = big32(data + 2) if size >= 6 else 0
        if size == 0:
            return True
        if data[0] != 4 or (size >= 6 and (length < 6 or (self._max_length and length > self._max_length))):
            return False
        if size >= 10 and <Py_ssize_t>big32(data + 6) != length - 4:
            return False
        return (size < 11 or data[10] == self._context) and (size < 12 or data[11] & 1 == 0)

    cdef bint _request(self, const uint8_t *command, Py_ssize_t size) noexcept:
        """Read a C-STORE-RQ with the elements that are required and no others (PS3.7 §9.3.1.1); False for others."""
        cdef Py_ssize_t at
        cdef const uint8_t *middle
        if size < 20 or little32(command) or little32(command + 4) != 4 or <Py_ssize_t>little32(command + 8) != size - 12:
            return False
        if little32(command + 12) != 0x00020000:  # (0000,0002)
            return False
        self._class_size = little32(command + 16)
        if self._class_size > LONGEST_UID + 1 or self._class_size + 68 > size:
            return False
        self._class = command + 20
        middle = self._class + self._class_size
        for at in range(4):  # command field, message id, priority, data set type
            if little32(middle + 10 * at + 4) != 2:
                return False
        if (little32(middle) != 0x01000000 or little16(middle + 8) != 0x0001
                or little32(middle + 10) != 0x01100000 or little32(middle + 20) != 0x07000000
                or little32(middle + 30) != 0x08000000 or little16(middle + 38) == 0x0101
                or little32(middle + 40) != 0x10000000):
            return False
        self._message_id = little16(middle + 18)
        self._instance = middle + 48
        self._instance_size = little32(middle + 44)
        if self._instance_size > LONGEST_UID + 1 or self._class_size + self._instance_size + 68 != size:
            return False
        self._class_size = uid_size(self._class, self._class_size)
        self._instance_size = uid_size(self._instance, self._instance_size)
        return self._class_size > 0 and self._instance_size > 0

    cdef bint _serve(self, bytearray answers) except -1:
        """Store the object of the message and answer it; False, and nothing is done, where the usual way has to."""
        cdef Depot depot = self._depot
        cdef Header header = None
        cdef Py_ssize_t head = 0, octets = self._octets
        cdef const uint8_t *first = <const uint8_t *>self._depot._pieces[2].iov_base
        cdef Py_ssize_t first_size = self._depot._pieces[2].iov_len
        cdef char name[LONGEST_NAME + 1]
        cdef iovec *pieces
        cdef uint8_t *scratch
        cdef tuple known, syntaxes
        cdef int target
        syntaxes = <tuple>self._contexts.get(self._context)
        if syntaxes is None or octets == 0 or (depot._most_octets and octets > depot._most_octets) or not self._answer_fits():
            return False
        if not depot._preserving:
            header = depot._find(syntaxes, first, first_size, octets, self._class, self._class_size, self._instance, self._instance_size)
            if header is None:
                return False
        known = self._about()
        if put_name(name, <bytes>known[0], self._instance, self._instance_size, depot._extension) == 0:
            return False
        if self._sorts:
            target = self._place_fd
            if (target < 0 or header is None or not header._is_of(first, self._study)
                    or not same_place(PyBytes_AS_STRING(self._place), self._place_dev, self._place_ino)):
                return False
        elif depot._ready():
            target = depot._fd
        else:
            return False
        if header is not None and len(depot._scratch) < LONGEST_HEAD + header.out_size:
            depot._scratch = bytearray(LONGEST_HEAD + header.out_size)
        scratch = <uint8_t *>depot._scratch
        if depot._files:
            head = put_head(scratch, known, self._instance, self._instance_size)
            if head == 0:
                return False
        pieces = self._depot._pieces
        pieces[0].iov_base, pieces[0].iov_len = scratch, head
        if header is None:
            pieces[1].iov_base, pieces[1].iov_len = scratch, 0
        else:
            header._write(first, scratch + LONGEST_HEAD)
            pieces[1].iov_base, pieces[1].iov_len = scratch + LONGEST_HEAD, header.out_size
            pieces[2].iov_base, pieces[2].iov_len = <void *>(first + header.size), first_size - header.size
            octets += header.out_size - header.size
        number = len(self.replaced)
        if not depot._store(target, name, pieces, self._count + 2, head + octets, self.replaced):
            return False
        self.stored += 1
        self.written += head + octets
        if self._tells:
            self.told.append((
                self._context, <bytes>PyBytes_FromStringAndSize(<const char *>self._class, self._class_size),
                <bytes>PyBytes_FromStringAndSize(<const char *>self._instance, self._instance_size), <bytes>name, head + octets,
                len(self.replaced) > number, b"" if header is None else header._value(first, 0),
                b"" if header is None else header._value(first, 1), b"" if header is None else header._value(first, 2)))
        self._answer(answers)
        return True

    cdef tuple _about(self):
        """Return what is known of the context's objects of this SOP class."""
        key = (self._context, <bytes>PyBytes_FromStringAndSize(<const char *>self._class, self._class_size))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= 256:
                self._known.clear()
            known = self._known[key] = self._describe(*key)
        return <tuple>known

    cdef Py_ssize_t _answer_size(self) noexcept:
        return 68 + self._class_size + (self._class_size & 1) + self._instance_size + (self._instance_size & 1)

    cdef bint _answer_fits(self) noexcept:
        return self._peer_max_length == 0 or self._answer_size() + 6 <= self._peer_max_length

    cdef int _answer(self, bytearray answers) except -1:
        """Append the C-STORE-RSP with success (PS3.7 §9.3.1.2), as one P-DATA-TF."""
        cdef uint8_t out[12 + 68 + 2 * (LONGEST_UID + 1)]
        cdef Py_ssize_t size = self._answer_size()
        cdef uint8_t *at = out
        at[0], at[1] = 4, 0
        at[2], at[3], at[4], at[5] = 0, 0, <uint8_t>((size + 6) >> 8), <uint8_t>((size + 6) & 0xFF)
        at[6], at[7], at[8], at[9] = 0, 0, <uint8_t>((size + 2) >> 8), <uint8_t>((size + 2) & 0xFF)
        at[10], at[11] = self._context, 3
        at = put32(put32(put32(at + 12, 0), 4), <uint32_t>(size - 12))
        at = put32(put32(at, 0x00020000), <uint32_t>(self._class_size + (self._class_size & 1)))
        at = put_uid(at, self._class, self._class_size)
        at = put16(put32(put32(at, 0x01000000), 2), 0x8001)
        at = put16(put32(put32(at, 0x01200000), 2), self._message_id)
        at = put16(put32(put32(at, 0x08000000), 2), 0x0101)
        at = put16(put32(put32(at, 0x09000000), 2), 0)
        at = put32(put32(at, 0x10000000), <uint32_t>(self._instance_size + (self._instance_size & 1)))
        put_uid(at, self._instance, self._instance_size)
        answers += (<char *>out)[:12 + size]
        return 0


cdef Py_ssize_t uid_size(const uint8_t *uid, Py_ssize_t size) noexcept:
    """Return the octets of a UID of digits and dots without the NULs behind it; 0 for anything else (PS3.5 §9.1)."""
    cdef Py_ssize_t at
    cdef bint digits = False
    while size and uid[size - 1] == 0:
        size -= 1
    if size > LONGEST_UID:
        return 0
    for at in range(size):
        if 48 <= uid[at] <= 57:
            digits = True
        elif uid[at] != 46:
            return 0
    return size if digits else 0


cdef Py_ssize_t put_head(uint8_t *out, tuple known, const uint8_t *instance, Py_ssize_t size) noexcept:
    """Write preamble and group 0002 (PS3.10 §7.1); return the octets, 0 where they are unusually many."""
    cdef bytes before = <bytes>known[1]
    cdef bytes behind = <bytes>known[2]
    cdef Py_ssize_t padded = size + (size & 1)
    cdef Py_ssize_t group = PyBytes_GET_SIZE(before) + 8 + padded + PyBytes_GET_SIZE(behind)
    cdef uint8_t *at = out
    if group + 144 > LONGEST_HEAD:
        return 0
    memset(at, 0, 128)
    at = put(at + 128, b"DICM\x02\x00\x00\x00UL\x04\x00", 12)
    at = put32(at, <uint32_t>group)
    at = put(at, PyBytes_AS_STRING(before), PyBytes_GET_SIZE(before))
    at = put(at, b"\x02\x00\x03\x00UI", 6)
    at = put16(at, <uint32_t>padded)
    at = put_uid(at, instance, size)
    put(at, PyBytes_AS_STRING(behind), PyBytes_GET_SIZE(behind))
    return group + 144


cdef Py_ssize_t put_name(char *out, bytes prefix, const uint8_t *instance, Py_ssize_t size, bytes extension) noexcept:
    """Write the name of a file and a NUL; return its octets, 0 where they are too many."""
    cdef Py_ssize_t octets = PyBytes_GET_SIZE(prefix) + size + PyBytes_GET_SIZE(extension)
    if octets > LONGEST_NAME:
        return 0
    memcpy(put(put(<uint8_t *>out, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix)), instance, size),
           PyBytes_AS_STRING(extension), PyBytes_GET_SIZE(extension))
    out[octets] = 0
    return octets


cdef uint8_t *put_uid(uint8_t *at, const uint8_t *uid, Py_ssize_t size) noexcept:
    """Append a UID, padded with NUL to even length."""
    memcpy(at, uid, size)
    if size & 1:
        at[size] = 0
        size += 1
    return at + size


include "_files.pxi"
include "_walk.pxi"
