"""Fetch a picture over the HTTP API of the app at URL, served by process PID, and check it."""

import os
import sys
import time

import numpy as np
from gradio_client import Client
from PIL import Image

import stylegan

url, pid, model = sys.argv[1], int(sys.argv[2]), sys.argv[3]
began = time.monotonic()
client = None
while client is None:
    os.kill(pid, 0)  # raises when the app has ended
    try:
        client = Client(url, verbose=False)
    except Exception as error:  # whatever a server that is not up yet looks like
        if time.monotonic() - began > 120:
            raise SystemExit(f"nothing answers at {url}: {error}") from error
        time.sleep(0.1)

with Image.open(client.predict("seed=0", api_name="/seeds")) as picture:
    seconds = time.monotonic() - began
    found = np.asarray(picture).astype(int)
    assert picture.format == "PNG", picture.format
drawn = stylegan.load(model).render(stylegan.Recipe(seed=0)).astype(int)
assert found.shape == drawn.shape, (found.shape, drawn.shape)
assert abs(found - drawn).max() <= 1, "not the picture that is drawn without the app"
print(f"a picture of {picture.width}x{picture.height} after {seconds:.1f} s")
