"""PS3.5, 3.6 and 3.10: encodings, dictionaries, and the engine that rewrites data sets. Public: what is in ``__all__``.

::

    from fastscp.dicom import FileSink, OutputOptions, rewrite

    with open("out.dcm", "w+b") as file:
        rewrite("in.dcm", FileSink(file), OutputOptions(explicit_lengths=False))
"""

from typing import TYPE_CHECKING

from fastscp import lazy

if TYPE_CHECKING:
    from fastscp.dicom.filesink import FileSink
    from fastscp.dicom.options import GroupLengths, OutputOptions, PrivateDictionary
    from fastscp.dicom.rewriter import Rewriter, Sink
    from fastscp.dicom.rewriting import Rewritten, rewrite
    from fastscp.dicom.sinks import HashingSink, MemorySink

__all__ = ["FileSink", "GroupLengths", "HashingSink", "MemorySink", "OutputOptions", "PrivateDictionary", "Rewriter", "Rewritten",
           "Sink", "rewrite"]

__getattr__ = lazy.names("fastscp.dicom", {
    "FileSink": "fastscp.dicom.filesink",
    "GroupLengths": "fastscp.dicom.options",
    "HashingSink": "fastscp.dicom.sinks",
    "MemorySink": "fastscp.dicom.sinks",
    "OutputOptions": "fastscp.dicom.options",
    "PrivateDictionary": "fastscp.dicom.options",
    "Rewriter": "fastscp.dicom.rewriter",
    "Rewritten": "fastscp.dicom.rewriting",
    "Sink": "fastscp.dicom.engine.sink",
    "rewrite": "fastscp.dicom.rewriting",
})
