"""FastAPI + uvicorn; see https://fastapi.tiangolo.com/tutorial/request-files/."""

from typing import Annotated

from fastapi import FastAPI, Form, UploadFile
from work import Classifier

app = FastAPI()
classifier = Classifier()


@app.post("/predict")
def predict(image: UploadFile, x: Annotated[int, Form()], y: Annotated[int, Form()]):
    return classifier.predict(image.file.read(), x, y)
