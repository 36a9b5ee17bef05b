"""Tries the contract on TensorFlow Serving's Docker image: `python against_docker.py [IMAGE]`.

Writes the models, has Docker serve them on ports 8500 and 8501 of this machine alone, runs the
suite and removes the container. The exit status is the suite's.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import contract_models
import contract_server

HERE = pathlib.Path(__file__).parent
URL = "http://127.0.0.1:8501"


def main(image="tensorflow/serving"):
    """Runs the suite against an image; returns the exit status."""
    with tempfile.TemporaryDirectory() as temporary:
        pathlib.Path(temporary).chmod(0o755)  # the container may have another user
        folder = contract_models.write(pathlib.Path(temporary, "models"), base="/models")
        command = ["docker", "run", "--rm", "--detach"]
        command += ["--publish=127.0.0.1:8500:8500", "--publish=127.0.0.1:8501:8501"]
        command += [f"--volume={folder}:/models:ro", image, *contract_server.FLAGS]
        command += ["--model_config_file=/models/models.config"]
        command += ["--monitoring_config_file=/models/monitoring.config"]
        container = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        try:
            contract_server.wait_for(URL)
            environment = {**os.environ, "TF_SERVING_URL": URL, "TF_SERVING_MODELS": "/models"}
            suite = [sys.executable, "-m", "pytest", str(HERE)]
            return subprocess.run(suite, env=environment, check=False).returncode
        finally:
            subprocess.run(["docker", "stop", container.stdout.strip()], check=False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
