"""Evaluation: how right a model is on labeled photos, through the server's own core.

One step a module: `photos` reads what is labeled, `answers` asks the model, `figures` counts,
`comparison` sets two models side by side, `tables`, `plots` and `report` show it. Called by
``dsapi evaluate``. Knows no HTTP and no configuration file.
"""
