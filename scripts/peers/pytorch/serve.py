"""Answers the requests of scripts/peers/protocol.ts: one JSON object a line, in and out."""

import json
import sys
import time

from workloads import Unsupported


def serve(describe, prepare, synchronize=lambda: None):
    """Until the driver closes our input. Timing happens here; how many calls is the driver's to say."""
    job = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "describe":
                reply = describe()
            elif request["do"] == "prepare":
                job = None  # before the next one needs the memory
                job = prepare(request["workload"])
                reply = {"value": job.value, "note": job.note}
            elif request["do"] == "time":
                synchronize()
                start = time.perf_counter()
                for _ in range(request["calls"]):
                    job.call()
                synchronize()
                reply = {"seconds": time.perf_counter() - start}
            else:
                job = None
                reply = {}
        except Unsupported as error:
            reply = {"unsupported": str(error)}
        except Exception as error:  # the driver shows it; this process goes on
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)
