"""Rewrite a DICOM file with undefined lengths, in explicit VR little endian, and print the SHA-256 of what was written.

python rewrite.py IN OUT
"""

import sys

from fastscp.dicom import FileSink, HashingSink, OutputOptions, rewrite

options = OutputOptions(transfer_syntax="1.2.840.10008.1.2.1", explicit_lengths=False)
with open(sys.argv[2], "w+b") as file:
    sink = HashingSink(FileSink(file))
    done = rewrite(sys.argv[1], sink, options)
print(done.sop_instance_uid, sink.hexdigest())
