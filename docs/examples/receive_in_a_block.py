"""Receive while a block runs: in a test, a notebook, or beside something else.

python receive_in_a_block.py
"""

import queue
import subprocess
import tempfile

from fastscp import Receiver, StoredObject

arrived: queue.Queue[StoredObject] = queue.Queue()

with tempfile.TemporaryDirectory() as directory:
    with Receiver(port=0, output_directory=directory, workers=1, on_object=arrived.put) as receiver:
        subprocess.run(["echoscu", "127.0.0.1", str(receiver.port)], check=True)  # whoever sends
        print(f"it answers on port {receiver.port}")
    print(f"{arrived.qsize()} objects arrived, the service has ended: {not receiver.running}")
