"""From photos to figures through the core, on a graph whose answers are known."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsapi.errors import StartupError
from dsapi.evaluation.answers import Answers, Questions
from dsapi.evaluation.comparison import compare_answers
from dsapi.evaluation.evaluation import evaluate_model
from dsapi.evaluation.figures import find_hits, measure_single_label
from dsapi.evaluation.photos import LabeledPhoto, read_photos
from dsapi.evaluation.report import write_report
from dsapi.prediction.model import Model, load_model
from dsapi.prediction.picture import Limits
from tests.engines.gated import GatedGraph, gated_model
from tests.graphs import COLOR_LABELS, freeze_constant, freeze_failing, write_graph

LIMITS = Limits(max_pixels=1_000_000, working_side=2048)
Loader = Callable[[str], Model]


def answers_of(
    probabilities: list[list[float]], truth: list[int], photo: list[int] | None = None
) -> Answers:
    count = len(truth)
    rows = np.array(probabilities, np.float32)
    one_of_each = np.eye(rows.shape[1], dtype=bool)
    numbers = np.array(photo if photo is not None else range(count))
    return Answers(
        "random",
        rows,
        one_of_each[rows.argmax(axis=1)],
        one_of_each[truth],
        photo=numbers,
        entry=numbers,
        points=np.zeros((count, 2), np.int64),
    )


def test_a_model_whose_answers_depend_on_the_points_beside_is_not_measured(
    photos: Path, load_tiny: Loader, tmp_path: Path
) -> None:
    import tensorflow as tf

    model = load_tiny("themes")
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, *model.size, 3], name="image")
        means = tf.reduce_mean(pixels, axis=[1, 2]) / [20.0, 30.0, 40.0]
        tf.nn.softmax(means - tf.reduce_mean(means, axis=0), name="probabilities")
    path = write_graph(tmp_path / "in_training.pb", graph.as_graph_def())
    spec = model.spec.model_copy(update={"graph": path, "sha256": None})
    in_training = load_model("themes", spec, engine="tensorflow")
    questions = Questions(random_points=1, seed=1)
    with pytest.raises(StartupError, match=r"in_training\.pb: .* beside other pictures"):
        evaluate_model(
            in_training, read_photos(photos, model.labels), questions, limits=LIMITS, threads=2
        )


def test_one_wrong_photo_of_twelve_is_counted_at_center_and_random_points(
    photos: Path, load_tiny: Loader
) -> None:
    model = load_tiny("themes")
    evaluation = evaluate_model(
        model,
        read_photos(photos, model.labels),
        Questions(random_points=3, seed=1),
        limits=LIMITS,
        threads=2,
    )
    center, random = evaluation.figures
    assert (center.place, center.count, center.photos) == ("center", 12, 12)
    assert (random.place, random.count, random.photos) == ("random", 36, 12)
    assert center.top1 == random.top1 == pytest.approx(11 / 12)
    assert center.top5 == 1.0
    worst = center.confusions[0]
    assert (worst.truth, worst.answer, worst.count, worst.share) == ("green", "blue", 1, 0.25)
    by_name = {each.label: each for each in center.labels}
    assert by_name["green"].recall == 0.75
    assert by_name["blue"].precision == pytest.approx(4 / 5)
    assert center.balanced_top1 == pytest.approx((1 + 1 + 0.75) / 3)


def test_answers_do_not_depend_on_the_number_of_threads(photos: Path, load_tiny: Loader) -> None:
    model = load_tiny("colors")
    questions = Questions(random_points=2, seed=5)
    found = read_photos(photos, model.labels)
    one, four = (
        evaluate_model(model, found, questions, limits=LIMITS, threads=threads)
        for threads in (1, 4)
    )
    assert one.figures == four.figures
    np.testing.assert_array_equal(one.answers["random"].points, four.answers["random"].points)


def test_the_seed_decides_the_random_points(photos: Path, load_tiny: Loader) -> None:
    model = load_tiny("colors")
    found = read_photos(photos, model.labels)
    first, again, other = (
        evaluate_model(model, found, Questions(random_points=1, seed=seed), limits=LIMITS)
        .answers["random"]
        .points.tolist()
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_random_points_of_a_photo_do_not_depend_on_the_others_nor_on_where_it_lies(
    photos: Path, load_tiny: Loader, tmp_path: Path
) -> None:
    model = load_tiny("colors")
    table = photos / "photos.csv"
    table.write_text("file,label\nred/3.png,red\n./green/../blue/0.png,blue\n")
    moved = shutil.copytree(photos, tmp_path / "moved")
    shutil.rmtree(moved / "green")

    def ask(data: Path) -> dict[str, list[int]]:
        found = read_photos(data, model.labels)
        questions = Questions(random_points=1, seed=1)
        asked = evaluate_model(model, found, questions, limits=LIMITS).answers["random"]
        points = asked.points.tolist()
        return {found[at].name: points[row] for row, at in enumerate(asked.entry)}

    everywhere = ask(photos)
    assert ask(moved).items() <= everywhere.items()
    assert ask(table) == {name: everywhere[name] for name in ("red/3.png", "blue/0.png")}
    assert len({tuple(point) for point in everywhere.values()}) > 6


def test_a_photo_labeled_at_a_point_is_asked_about_there(tmp_path: Path, load_tiny: Loader) -> None:
    picture = Image.new("RGB", (60, 40), (220, 30, 20))
    picture.paste((20, 40, 210), (40, 0, 60, 40))
    picture.save(tmp_path / "two.png")
    model = load_tiny("colors")
    evaluation = evaluate_model(
        model,
        [
            LabeledPhoto(tmp_path / "two.png", (COLOR_LABELS.index("red"),), (5, 20)),
            LabeledPhoto(tmp_path / "two.png", (COLOR_LABELS.index("blue"),), (55, 20)),
        ],
        Questions(random_points=3, seed=1),
        limits=LIMITS,
    )
    (given,) = evaluation.figures
    assert (given.place, given.count, given.photos, given.top1) == ("given", 2, 1, 1.0)
    assert evaluation.answers["given"].points.tolist() == [[5, 20], [55, 20]]


def test_an_unreadable_photo_is_named_and_counts_nowhere(photos: Path, load_tiny: Loader) -> None:
    (photos / "red" / "broken.png").write_bytes(b"no picture at all")
    model = load_tiny("themes")
    evaluation = evaluate_model(
        model,
        read_photos(photos, model.labels),
        Questions(random_points=0, seed=1),
        limits=LIMITS,
    )
    (center,) = evaluation.figures
    assert center.count == 12
    (unreadable,) = evaluation.unreadable
    assert evaluation.photos[unreadable.entry].path.name == "broken.png"


def test_a_photo_that_is_gone_is_named_and_the_others_are_measured(
    photos: Path, load_tiny: Loader
) -> None:
    model = load_tiny("colors")
    found = read_photos(photos, model.labels)
    found[0].path.unlink()
    evaluation = evaluate_model(model, found, Questions(random_points=0, seed=1), limits=LIMITS)
    assert [each.entry for each in evaluation.unreadable] == [0]
    assert "No such file" in evaluation.unreadable[0].reason
    assert evaluation.figures[0].count == 11


def test_a_name_that_no_file_can_have_is_that_of_an_unreadable_photo(
    photos: Path, load_tiny: Loader
) -> None:
    model = load_tiny("colors")
    found = [*read_photos(photos, model.labels), LabeledPhoto(photos / "red\0.png", (0,))]
    evaluation = evaluate_model(model, found, Questions(random_points=0, seed=1), limits=LIMITS)
    assert [each.entry for each in evaluation.unreadable] == [12]
    assert evaluation.figures[0].count == 12


def test_a_photo_at_whose_points_the_model_fails_in_part_counts_nowhere(
    tmp_path: Path, load_tiny: Loader
) -> None:
    model = load_tiny("colors")
    spec = model.spec.model_copy(update={"graph": freeze_failing(tmp_path / "failing.pb")})
    picture = Image.new("RGB", (60, 30))
    picture.paste((20, 200, 40), (30, 0, 60, 30))
    picture.save(tmp_path / "half.png")
    evaluation = evaluate_model(
        load_model("colors", spec, engine=model.engine),
        [LabeledPhoto(tmp_path / "half.png", (0,))],
        Questions(random_points=20, seed=1),
        limits=LIMITS,
    )
    assert [each.reason for each in evaluation.unreadable] == ["the model failed on this picture"]
    assert evaluation.figures == ()


def test_every_session_that_was_opened_is_closed(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    graph = GatedGraph(lambda: None)
    evaluate_model(
        gated_model(graph),
        [LabeledPhoto(path, (0,)) for path in paths],
        Questions(random_points=0, seed=1),
        limits=LIMITS,
        threads=3,
    )
    assert graph.open_sessions == 0


def test_calibration_error_is_the_mean_distance_of_sureness_and_accuracy() -> None:
    # Ten answers that are 90 % sure, five of them right; ten that are 60 % sure, six right.
    sure = [[0.9, 0.1]] * 10 + [[0.6, 0.4]] * 10
    truth = [0] * 5 + [1] * 5 + [0] * 6 + [1] * 4
    figures = measure_single_label(answers_of(sure, truth), ("a", "b"))
    assert figures.calibration_error == pytest.approx((10 * 0.4 + 10 * 0.0) / 20, abs=1e-6)
    assert [each.count for each in figures.bins] == [10, 10]


def test_an_answer_that_is_quite_sure_counts_among_the_surest() -> None:
    figures = measure_single_label(answers_of([[1.0, 0.0], [0.95, 0.05]], [0, 0]), ("a", "b"))
    (surest,) = figures.bins
    assert (surest.lowest, surest.count) == (14 / 15, 2)


def test_how_sure_a_model_is_is_told_by_its_top_labels() -> None:
    figures = measure_single_label(answers_of([[0.9, 0.1], [0.3, 0.7]], [0, 0]), ("a", "b"))
    assert figures.mean_probability == pytest.approx(0.8)


def test_confusions_are_ranked_by_their_share_of_the_right_labels_answers() -> None:
    a, b, c = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    # Of ten of a two are taken for b; of two of c one is taken for a.
    answers = answers_of([*[a] * 8, b, b, c, a], [0] * 10 + [2] * 2)
    figures = measure_single_label(answers, ("a", "b", "c"))
    told = [(each.truth, each.answer, each.count, each.share) for each in figures.confusions]
    assert told == [("c", "a", 1, 0.5), ("a", "b", 2, 0.2)]


def test_random_points_are_drawn_over_the_whole_picture(tmp_path: Path, load_tiny: Loader) -> None:
    Image.new("RGB", (100, 60), (220, 30, 20)).save(tmp_path / "a.png")
    evaluation = evaluate_model(
        load_tiny("colors"),
        [LabeledPhoto(tmp_path / "a.png", (0,))],
        Questions(random_points=100, seed=1),
        limits=LIMITS,
    )
    x, y = evaluation.answers["random"].points.T
    assert (x.min() < 10, x.max() >= 90, y.min() < 6, y.max() >= 54) == (True,) * 4


def test_every_label_is_measured_also_those_that_callers_are_not_told(
    photos: Path, load_tiny: Loader
) -> None:
    model = load_tiny("colors")
    spec = model.spec.model_copy(update={"min_probability": 0.9})
    evaluation = evaluate_model(
        replace(model, spec=spec),
        read_photos(photos, model.labels),
        Questions(random_points=0, seed=1),
        limits=LIMITS,
    )
    sums = evaluation.answers["center"].probabilities.sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_label_without_photos_has_no_recall_and_does_not_count_in_the_mean() -> None:
    figures = measure_single_label(answers_of([[0.9, 0.1, 0.0]], [0]), ("a", "b", "c"))
    assert [each.recall for each in figures.labels] == [1.0, None, None]
    assert [each.precision for each in figures.labels] == [1.0, None, None]
    assert figures.balanced_top1 == 1.0


def test_labels_of_the_same_probability_are_ranked_in_their_order() -> None:
    # So many that they are sorted in another way than a few.
    probabilities = np.full((3, 42), 0.1, np.float32)
    probabilities[:, 20] = 0.4
    first, among_five = find_hits(probabilities, np.array([20, 3, 4]))
    assert first.tolist() == [True, False, False]
    assert among_five.tolist() == [True, True, False]


def test_a_clearly_better_model_is_significant_and_a_lucky_one_is_not() -> None:
    truth = [0] * 40
    wrong, right = [0.4, 0.6], [0.6, 0.4]
    half = answers_of([right, wrong] * 20, truth)
    better = compare_answers(half, answers_of([right] * 40, truth), seed=1)
    assert (better.only_first_right, better.only_other_right) == (0, 20)
    # Twenty of twenty by a fair coin, both sides: 2 / 2**20.
    assert better.p_value == pytest.approx(2 / 2**20)
    assert better.interval is not None
    assert better.interval[0] > 0.3
    lucky = compare_answers(half, answers_of([right, wrong] * 19 + [right, right], truth), seed=1)
    assert lucky.p_value == 1.0
    assert lucky.interval is not None
    assert lucky.interval[0] <= 0 < lucky.difference


@pytest.mark.parametrize("photo", [[0], [*range(40)], [0, 0, 1]])
def test_photos_that_all_differ_alike_give_no_interval(photo: list[int]) -> None:
    wrong, right, truth = [0.4, 0.6], [0.6, 0.4], [0] * len(photo)
    first = answers_of([wrong] * len(photo), truth, photo)
    for other, difference in ((wrong, 0.0), (right, 1.0)):
        found = compare_answers(first, answers_of([other] * len(photo), truth, photo), seed=1)
        assert (found.difference, found.interval) == (difference, None)
    assert compare_answers(first, first, seed=1).p_value == 1.0


def test_a_photo_is_drawn_as_a_whole_and_each_of_its_points_counts() -> None:
    wrong, right, photo = [0.4, 0.6], [0.6, 0.4], [0] * 9 + [1]
    first = answers_of([wrong] * 10, [0] * 10, photo)
    found = compare_answers(first, answers_of([right] * 9 + [wrong], [0] * 10, photo), seed=1)
    # Of two draws both are the same photo half of the time.
    assert (found.difference, found.interval) == (0.9, (0.0, 1.0))


def test_the_seed_decides_the_interval() -> None:
    wrong, right, photo = (
        [0.4, 0.6],
        [0.6, 0.4],
        [number for number in range(12) for _ in range(number)],
    )
    first = answers_of([wrong] * 66, [0] * 66, photo)
    other = answers_of([right if number % 2 else wrong for number in photo], [0] * 66, photo)
    one, again, another = (compare_answers(first, other, seed=seed) for seed in (1, 1, 2))
    assert one == again != another


def test_points_of_one_photo_are_one_case_for_the_test() -> None:
    wrong, right = [0.4, 0.6], [0.6, 0.4]
    first = answers_of([wrong] * 30, [0] * 30, photo=[0] * 15 + [1] * 15)
    other = answers_of([right] * 30, [0] * 30, photo=[0] * 15 + [1] * 15)
    found = compare_answers(first, other, seed=1)
    assert (found.only_other_right, found.p_value) == (2, 0.5)


def test_the_points_that_a_table_names_of_one_photo_are_one_case_for_the_test(
    photos: Path, load_tiny: Loader, tmp_path: Path
) -> None:
    table = photos / "points.csv"
    lines = [f"{name}.png,green,{x},2" for name in ("green/1", "green/2") for x in range(10)]
    table.write_text("\n".join(["file,label,x,y", *lines, "green/1.png,green,900,2"]))
    model = load_tiny("colors")
    graph = freeze_constant(tmp_path / "always-red.pb", [0.8, 0.1, 0.1])
    other = load_model(
        "colors", model.spec.model_copy(update={"graph": graph}), engine=model.engine
    )
    evaluation = evaluate_model(
        model,
        read_photos(table, model.labels),
        Questions(random_points=0, seed=1),
        limits=LIMITS,
        against=other,
    )
    (found,) = evaluation.comparisons
    assert (found.only_first_right, found.only_other_right, found.p_value) == (2, 0, 0.5)
    assert (evaluation.figures[0].count, evaluation.figures[0].photos) == (20, 2)
    # The point outside is left out, and the photo with it is not.
    assert (evaluation.photo_count, evaluation.unreadable_count) == (2, 0)
    assert len(evaluation.unreadable) == 1
    page = write_report(evaluation, tmp_path / "out", limits=LIMITS).read_text(encoding="utf-8")
    assert "2 photos, 0 of them unreadable; 3 labels" in page


def test_two_graphs_are_asked_at_the_same_points(
    photos: Path, load_tiny: Loader, tmp_path: Path
) -> None:
    model = load_tiny("colors")
    graph = freeze_constant(tmp_path / "always-red.pb", [0.8, 0.1, 0.1])
    spec = model.spec.model_copy(update={"graph": graph})
    other = load_model("colors", spec, engine=model.engine)
    evaluation = evaluate_model(
        model,
        read_photos(photos, model.labels),
        Questions(random_points=1, seed=3),
        limits=LIMITS,
        against=other,
    )
    center, random = evaluation.comparisons
    assert center.accuracy == pytest.approx(11 / 12)
    assert center.other_accuracy == random.other_accuracy == pytest.approx(4 / 12)
    assert [each.top1 for each in evaluation.other_figures] == [pytest.approx(4 / 12)] * 2
    assert (center.only_first_right, center.only_other_right) == (7, 0)
    assert center.interval is not None
    assert center.interval[1] < 0


def test_photos_on_which_one_graph_fails_count_for_neither(
    photos: Path, load_tiny: Loader, tmp_path: Path
) -> None:
    model = load_tiny("colors")
    # Fails on all colored photos, not on gray.
    spec = model.spec.model_copy(update={"graph": freeze_failing(tmp_path / "failing.pb")})
    other = load_model("colors", spec, engine=model.engine)
    Image.new("RGB", (40, 30), (128, 128, 128)).save(photos / "red/gray.png")
    evaluation = evaluate_model(
        model,
        read_photos(photos, model.labels),
        Questions(random_points=0, seed=3),
        limits=LIMITS,
        against=other,
    )
    assert len(evaluation.unreadable) == 12
    (comparison,) = evaluation.comparisons
    assert [each.count for each in (*evaluation.figures, *evaluation.other_figures)] == [1, 1]
    assert comparison.only_first_right == comparison.only_other_right == 0


def test_the_report_is_one_page_that_asks_no_other_host(
    photos: Path, load_tiny: Loader, tmp_path: Path
) -> None:
    (photos / "red" / "<b>bold.png").write_bytes(b"broken")
    model = load_tiny("themes")
    evaluation = evaluate_model(
        model,
        read_photos(photos, model.labels),
        Questions(random_points=1, seed=1),
        limits=LIMITS,
        against=replace(model, version="0123456789ab"),
    )
    path = write_report(evaluation, tmp_path / "out" / "deep", limits=LIMITS)
    page = path.read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert "data:image/jpeg;base64," in page
    assert "&lt;b&gt;bold.png" in page
    assert "91.7%" in page
    assert "0123456789ab" in page
    links = page.replace("http://www.w3.org/", "").replace("http://purl.org/", "")
    links = links.replace("http://creativecommons.org/", "").replace("https://matplotlib.org/", "")
    assert "http" not in links
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
