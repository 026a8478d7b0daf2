"""Plug-ins of other packages are found by name, loaded late, and blamed by the package's name."""

from importlib.metadata import EntryPoint, PathDistribution

import pytest

from gnomon.core.errors import InvalidInput
from gnomon.core.plugins import has_plugin, load_plugin, plugin_names
from support.plugins import installed_plugins

GROUP = "gnomon.encoders"
NOT_CALLABLE = 7


def make_encoder(name):
    return f"encoder {name}"


def entry_of(tmp_path, package, name, value, group=GROUP):
    """An entry point as a package's metadata declares it."""
    folder = tmp_path / f"{package}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    (entry,) = PathDistribution(folder).entry_points
    return entry


def test_a_declared_plugin_is_loaded_by_its_name_in_any_case():
    with installed_plugins(EntryPoint(".Mine", f"{__name__}:make_encoder", GROUP)):
        assert plugin_names(GROUP) == ("mine",)
        assert has_plugin(GROUP, "MINE")
        assert has_plugin(GROUP, ".mine")
        assert load_plugin(GROUP, "mine") is make_encoder


def test_groups_are_apart():
    with installed_plugins(EntryPoint("mine", f"{__name__}:make_encoder", GROUP)):
        assert plugin_names("gnomon.stores") == ()
        assert not has_plugin("gnomon.stores", "mine")


def test_listing_imports_nothing():
    with installed_plugins(EntryPoint("mine", "no_such_module_anywhere:f", GROUP)):
        assert plugin_names(GROUP) == ("mine",)


def test_without_the_package_the_error_names_the_group():
    with installed_plugins(), pytest.raises(InvalidInput, match=r"(?s)no plug-in 'mine'.*gnomon\.encoders"):
        load_plugin(GROUP, "mine")


def test_two_packages_of_one_name_are_an_error_that_names_both(tmp_path):
    value = f"{__name__}:make_encoder"
    entries = [entry_of(tmp_path, package, "mine", value) for package in ("pack-b", "pack-a")]
    other = entry_of(tmp_path, "pack-c", "other", value)
    with installed_plugins(*entries, other):
        with pytest.raises(InvalidInput, match="pack-a and pack-b both declare the plug-in 'mine'"):
            load_plugin(GROUP, "mine")
        assert load_plugin(GROUP, "other") is make_encoder


def test_a_package_that_is_found_twice_on_the_path_is_no_clash(tmp_path):
    value = f"{__name__}:make_encoder"
    with installed_plugins(*[entry_of(tmp_path, "pack-a", "mine", value) for _ in range(2)]):
        assert load_plugin(GROUP, "mine") is make_encoder


@pytest.mark.parametrize("value", ["no_such_module_anywhere:f", f"{__name__}:no_such_name"])
def test_a_plugin_that_cannot_be_imported_is_blamed_on_its_package(tmp_path, value):
    with (
        installed_plugins(entry_of(tmp_path, "pack-a", "mine", value)),
        pytest.raises(InvalidInput, match=r"(?s)'mine' of pack-a cannot be loaded.*uninstall pack-a"),
    ):
        load_plugin(GROUP, "mine")


def test_a_plugin_that_is_not_callable_is_blamed_on_its_package(tmp_path):
    with (
        installed_plugins(entry_of(tmp_path, "pack-a", "mine", f"{__name__}:NOT_CALLABLE")),
        pytest.raises(InvalidInput, match="'mine' of pack-a is a int"),
    ):
        load_plugin(GROUP, "mine")
