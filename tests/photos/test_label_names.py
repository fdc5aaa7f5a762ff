"""What people call a label."""

from dsapi.photos.label_names import LabelNames, shorten_label

LABELS = ("Women's Fashion", "Bags & Accessories", "shoes")


def test_short_forms_are_as_folders_are_named() -> None:
    assert [shorten_label(label) for label in LABELS] == [
        "womens-fashion",
        "bags-accessories",
        "shoes",
    ]


def test_a_label_is_found_as_people_write_it_and_what_could_mean_two_is_none() -> None:
    names = LabelNames(("Café crème", "On/Off", "on off", "!", "Été", "ete"))
    found = {"cafe_creme": 0, "CAFE-CREME": 0, "On/Off": 1, "on off": 2, "on-off": None}
    assert {name: names.find(name) for name in found} == found
    # Nothing is left of a name of signs alone, as of others.
    assert names.find("?") is None
    # Some systems write an accented letter as two characters.
    assert (names.find("E\u0301te\u0301"), names.find("ete"), names.find("ÉTÉ")) == (4, 5, None)


def test_folders_count_by_number_only_where_all_have_one() -> None:
    names = LabelNames(LABELS)
    assert names.find_folders(["00-ladies", "2_boots"]) == {"00-ladies": 0, "2_boots": 2}
    assert names.find_folders(["00-ladies", "shoes"]) == {"00-ladies": None, "shoes": 2}
    stars = LabelNames(("1-star", "2-stars", "3-stars"))
    assert stars.find_folders(["1-star", "2-star"]) == {"1-star": 0, "2-star": None}
    assert stars.find_folders(["2-star"]) == {"2-star": None}
    assert names.find_folders(["00-shoes", "3-x"]) == {"00-shoes": None, "3-x": None}
