"""Classifies a picture with a client that openapi-python-client has generated: python.py CLIENT BASE_URL PICTURE."""

import base64
import io
import sys

client_folder, base_url, picture_file = sys.argv[1:]
sys.path.insert(0, client_folder)

from senet_client import Client
from senet_client.api.classification import classify
from senet_client.api.models import describe_model, list_models
from senet_client.api.operation import health
from senet_client.models import Classification, ClassifyAttention, Form, FormAttention, JsonRequest, Problem, Results
from senet_client.types import File

client = Client(base_url=base_url)
with open(picture_file, "rb") as file:
    picture = file.read()


def image(**about):
    return File(payload=io.BytesIO(picture), **about)


def labels(answer, count, attention):
    """The first label of each of an answer's results, which have so many predictions, and attention or none."""
    results = answer.results if isinstance(answer, Results) else [answer]
    for result in results:
        assert isinstance(result, Classification), result
        assert len(result.predictions) == count and bool(result.attention) == attention, result
    return [result.predictions[0].label for result in results]


raw = classify.sync(client=client, body=image())
assert labels(raw, 5, True) == ["cat"], raw

form = Form(image=[image(file_name="cat.png", mime_type="image/png"), image()], top_k=2, attention=FormAttention.NONE)
assert labels(classify.sync(client=client, body=form), 2, False) == ["cat", "cat"]

json = JsonRequest(images=[base64.b64encode(picture).decode()], top_k=3, model=None)
answer = classify.sync(client=client, body=json, top_k=3, attention=ClassifyAttention.FULL)
assert labels(answer, 3, True) == ["cat"]
assert len(answer.results[0].attention.blocks[0].weights) == answer.results[0].attention.blocks[0].channels

problem = classify.sync(client=client, body=image(), top_k=1000)
assert isinstance(problem, Problem) and problem.type_ == "/problems/invalid-parameter" and problem.limit == 10, problem

name = list_models.sync(client=client).models[0].name
assert describe_model.sync(name, client=client).classes == 10
assert health.sync(client=client).status == "ready"
