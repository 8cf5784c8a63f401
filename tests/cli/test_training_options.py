"""Every option of a training run is a setting of the recipe, or of where its data lie."""

from dataclasses import fields

from dlgen_cli.cli.training_options import FeatureOptions, TrainingOptions
from dlgen_cli.training import Recipe, make_recipe


def test_the_settings_are_those_of_the_recipe():
    settings = TrainingOptions().settings() | FeatureOptions().of_features()
    assert set(settings.values()) == {None}
    of_recipe = {one.name for one in fields(Recipe)}
    assert settings.keys() <= of_recipe
    assert of_recipe - settings.keys() == {"dataset"}  # which each command names by itself


def test_what_is_typed_arrives_under_the_recipe_s_name():
    typed = TrainingOptions(source="digits", arch="mlp", lr=0.5, m=100)
    recipe = make_recipe(typed.settings())
    assert (recipe.architecture, recipe.learning_rate, recipe.m) == ("mlp", 0.5, 100)
