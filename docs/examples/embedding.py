"""Receive objects, and look at each of them and at each study that is complete.

python embedding.py DIRECTORY [PORT]
"""

import sys

import pydicom

from fastscp import CompletedStudy, Receiver, Refusal, StoredObject


def on_object(stored: StoredObject) -> None:
    """Look at an object that was stored."""
    dataset = pydicom.dcmread(stored.path, stop_before_pixels=True)
    print(f"{stored.calling_aet} sent {dataset.Modality} {stored.sop_instance_uid}, {stored.size} octets", flush=True)


def on_study(study: CompletedStudy) -> None:
    """Look at a study that has ended."""
    print(f"study {study.study_uid} is complete: {len(study.objects)} objects in {study.directory}", flush=True)


def on_refused(refusal: Refusal) -> None:
    """Say what was not taken."""
    print(f"refused ({refusal.kind}) from {refusal.peer}: {refusal.reason}", flush=True)


if __name__ == "__main__":
    receiver = Receiver(port=int(sys.argv[2]) if len(sys.argv) > 2 else 11112, output_directory=sys.argv[1], sort_on_study_uid="study",
                        eostudy_timeout=5, on_object=on_object, on_study=on_study, on_refused=on_refused, verbose=True)
    receiver.run()  # until SIGINT or SIGTERM
