"""Several places learn one model and keep their images.

Flower carries the messages. Its telemetry is off here, before anything of it is imported.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
