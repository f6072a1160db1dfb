"""A run's own settings, and which of them a command line beside resume= may change."""

from functools import cache
from importlib.resources import files

import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from refusals import refused

from landmarks.cli.run_with_hydra import register_resolvers
from landmarks.cli.saved_settings import differences, put_on_top, read_own, refuse_kept
from landmarks.commands.preparing.config_groups import list_choices, read_choice, read_text
from landmarks.errors import UserError
from landmarks.runs.checkpoint import save_checkpoint
from landmarks.settings import flatten

CHOICES = {  # together they have every setting there is
    "data": [name for name in list_choices("data") if name != "checkpoint"],
    "layout": ["ibug68"],
    "augment": ["strong"],
    "loss": ["wing", "adaptive_wing", "smooth_l1"],
    "model": ["resnet18", "unet", "unet_resnet18", "keypoint_rcnn"],
    "optimizer": ["adam", "adamw", "sgd"],
    "scheduler": ["cosine", "one_cycle", "plateau"],
    "logger": list_choices("logger"),
}
TAKEN = set(  # whatever is neither here nor in a group of these is kept, and refused
    "data layout augment loss optimizer scheduler logger epochs max_time patience batch_size gpus "
    "accumulate clip ema flip_test device amp compile graph threads workers pictured_region report "
    "model.freeze model.sigma model.decoder model.weight model.chunk model.fuse model.proposals "
    "model.boxes model.margin model.sync_norm".split()
)
KEPT = {"data.limit", "data.exclude", "optimizer._target_", "optimizer.amsgrad"}


@pytest.fixture(autouse=True)
def resolvers():
    register_resolvers()


@cache
def settings_of(*words):
    GlobalHydra.instance().clear()
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        config = OmegaConf.to_container(compose("train", overrides=list(words)))
    return {key: value for key, value in config.items() if key not in ("resume", "run_dir")}


@pytest.fixture
def begin(checkpoint_of, tmp_path):
    """Write a run as if it had been begun with some words; with other settings where given."""

    def write(*words, settings=None, hydra=True):
        run = tmp_path / "run"
        (run / ".hydra").mkdir(parents=True, exist_ok=True)
        begun = settings_of(*words)
        if hydra:
            (run / ".hydra/config.yaml").write_text(yaml.safe_dump(begun))
            (run / ".hydra/overrides.yaml").write_text(yaml.safe_dump(list(words)))
        save_checkpoint(run / "last.pt", checkpoint_of(settings or begun))
        return read_own(run / "last.pt")

    return write


def every_setting():
    """Yield a choice that has it, and the key, of every setting once; composing them is slow."""
    seen = set()
    for group, choices in CHOICES.items():
        for choice in choices:
            for key in flatten({group: read_choice(f"{group}/{choice}")}):
                if not key.endswith("_partial_") and key not in seen:
                    seen.add(key)
                    yield f"{group}={choice}", key
    elsewhere = {*CHOICES, "defaults", "hydra", "resume", "run_dir"}
    for key in flatten(yaml.safe_load(read_text("train"))):
        if key.partition(".")[0] not in elsewhere:
            yield "epochs=1", key


def test_the_choices_above_have_every_setting():
    tried = {key for _, key in every_setting()}
    for group in CHOICES:
        for file in files("landmarks.configs").joinpath(group).iterdir():
            if file.name.endswith(".yaml"):
                found = settings_of(f"{group}={file.name.removesuffix('.yaml')}")[group]
                named = {key for key in flatten({group: found}) if not key.endswith("_partial_")}
                assert named <= tried or group == "layout"


@pytest.mark.parametrize(("chosen", "key"), list(every_setting()))
def test_every_setting_is_taken_or_refused_by_name(chosen, key, begin):
    own = begin(chosen)
    word = f"{key}=7341"
    changed = differences(own, put_on_top(own, [word]))
    assert changed == {key: (flatten(own.settings)[key], 7341)}
    if (key in TAKEN or key.partition(".")[0] in TAKEN) and key not in KEPT:
        refuse_kept(own, changed, [word])
    else:
        with refused(f"{key}=7341", "init="):
            refuse_kept(own, changed, [word])


def test_a_choice_replaces_the_whole_group(begin):
    own = begin("augment=light", "augment.rotate=30")
    for word in ("augment=none", "augment=light"):
        assert put_on_top(own, [word])["augment"] == settings_of(word)["augment"]
    with refused("optimizer=sgd"):
        refuse_kept(own, differences(own, put_on_top(own, ["optimizer=sgd"])), ["optimizer=sgd"])


def test_words_mean_a_run_s_own_settings_though_what_they_name_has_moved(begin):
    scheduler = {"_target_": "landmarks.schedules.one_cycle", "_partial_": True, "peak": 0.2}
    older = {**settings_of("scheduler=one_cycle"), "scheduler": scheduler}
    own = begin("scheduler=one_cycle", settings=older)
    (own.run / ".hydra/config.yaml").write_text(yaml.safe_dump(older))
    own = read_own(own.run / "last.pt")
    assert own.settings["scheduler"]["peak"] == 0.2
    assert not differences(own, put_on_top(own, ["scheduler=one_cycle"]))


def test_the_words_a_run_was_begun_with_mean_its_own_settings(begin):
    """Today's choice of that name may be another one."""
    words = ["model=unet_resnet18", "model.stride=2", "experiment=quickstart", "epochs=3"]
    begun = settings_of(*words)
    own = begin(*words)
    own = own._replace(
        settings={**own.settings, "model": {**begun["model"], "sigma": 9.0}},
        begun={**own.begun, "model": {**own.begun["model"], "sigma": 9.0}},
    )
    assert not differences(own, put_on_top(own, words))
    assert put_on_top(own, ["model=unet_resnet18"])["model"]["sigma"] == 1.0
    with refused("recipe"):
        put_on_top(own, ["experiment=faces68_resnet18"])


def test_a_choice_of_the_start_that_has_changed_since_is_a_change(begin):
    own = begin(
        "augment=light",
        settings={**settings_of(), "augment": settings_of("augment=none")["augment"]},
    )
    assert own.settings["augment"]["rotate"] == 0
    assert put_on_top(own, ["augment=light"])["augment"]["rotate"] == 10


def test_a_run_of_before_there_was_a_setting_goes_on_without_it(begin):
    settings = {
        key: value for key, value in settings_of().items() if key not in ("flip_test", "init")
    }
    settings["model"] = {key: settings["model"][key] for key in ("_target_", "backbone", "weights")}
    settings["scheduler"] = {"_target_": "landmarks.training.schedules.cosine", "_partial_": True}
    own = begin(settings=settings, hydra=False)
    assert own.settings["flip_test"] is False and own.settings["init"] is None
    assert own.settings["model"]["refine"] == 0 and own.settings["scheduler"]["hold"] == 0
    assert not differences(own, put_on_top(own, []))


def test_a_choice_of_one_s_own_is_read_where_the_line_says(begin, tmp_path):
    (tmp_path / "my/augment").mkdir(parents=True)
    (tmp_path / "my/augment/mine.yaml").write_text("defaults: [none, _self_]\nrotate: 3.0\n")
    found = put_on_top(begin(), ["augment=mine"], (str(tmp_path / "my"),))
    assert found["augment"] == {**settings_of("augment=none")["augment"], "rotate": 3.0}


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("optimizer.betta1=0.5", ["'optimizer.betta1'", "'optimizer.beta1'"]),
        ("epochs=1,2", ["epochs=1,2"]),
        ("~epochs", ["~epochs"]),
    ],
)
def test_a_word_that_sets_nothing_is_refused(word, named, begin):
    with refused(*named):
        put_on_top(begin(), [word])


STRANGE = {
    "another's code": {"loss": {"_target_": "os.system", "command": "true"}},
    "code of ours that is no loss": {"loss": {"_target_": "landmarks.losses.masked_mean"}},
    "another group's": {"loss": {"_target_": "landmarks.training.optimizers.sgd", "lr": 1}},
    "called at once": {"loss": {"_target_": "landmarks.losses.wing"}},
    "code in a setting": {"clip": {"_target_": "os.system", "command": "true"}},
    "code within": {"data": {**settings_of()["data"], "root": {"_target_": "os.system"}}},
    "Hydra's own": {"hydra": {"callbacks": {"x": {"_target_": "os.system"}}}},
    "defaults": {"defaults": [{"override hydra/launcher": "joblib"}]},
    "what is filled in": {"name": "${oc.env:HOME}"},
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_stranger_s_settings_run_no_code(strange, begin):
    with pytest.raises(UserError):
        put_on_top(begin(settings={**settings_of(), **STRANGE[strange]}), [])


def test_a_stranger_s_words_and_files_of_settings_are_not_followed(begin):
    begin()
    run = begin().run
    (run / ".hydra/overrides.yaml").write_text("['+loss._target_=os.system', 'hydra.verbose=1']")
    for content in ("!!python/object/apply:os.system [true]", "[1", "a: 1", "\0"):
        (run / ".hydra/config.yaml").write_text(content)
        own = read_own(run / "last.pt")
        assert put_on_top(own, []) == own.settings
