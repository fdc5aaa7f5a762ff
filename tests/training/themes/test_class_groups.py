import numpy as np

from dsapi.training.themes.class_groups import group_classes

COUNT = 6


def random_layer() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 40)).astype(np.float32), rng.normal(size=40).astype(np.float32)


def test_a_group_never_mixes_classes_of_different_themes() -> None:
    themes = np.eye(3, dtype=np.float32)[np.arange(40) % 3]
    groups = group_classes(random_layer(), themes, count=COUNT)
    assert groups.members.shape == (40, COUNT)
    assert groups.members.sum(axis=1).tolist() == [1] * 40
    assert groups.table.sum(axis=1).tolist() == [1] * COUNT


def test_classes_with_the_same_weights_share_a_group_that_has_their_probability() -> None:
    kernel, bias = random_layer()
    kernel[:, 20:], bias[20:] = kernel[:, :20], bias[:20]
    groups = group_classes((kernel, bias), np.ones((40, 1), np.float32), count=20)
    assert (groups.members[:20] == groups.members[20:]).all()
    features = np.random.default_rng(1).normal(size=(5, 30)).astype(np.float32)
    scores = features @ groups.layer[0] + groups.layer[1]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wanted = groups.sum_probabilities((features @ kernel + bias).astype(np.float16))
    np.testing.assert_allclose(chances, wanted, atol=0.01)
