"""Flask + gunicorn; see https://flask.palletsprojects.com/en/stable/deploying/gunicorn/."""

from flask import Flask, jsonify, request
from work import Classifier

app = Flask(__name__)
classifier = Classifier()


@app.post("/predict")
def predict():
    data = request.files["image"].read()
    return jsonify(classifier.predict(data, int(request.form["x"]), int(request.form["y"])))
