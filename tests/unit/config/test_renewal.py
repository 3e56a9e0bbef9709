"""What a reload changes, what it leaves as it was, and what it is refused for."""

from dataclasses import replace

import pytest

from fastscp.commitment.policy import CommitmentPeer, CommitmentPolicy
from fastscp.config import Config
from fastscp.config.network import NetworkPolicy, TLSPolicy
from fastscp.config.renewal import renewed
from fastscp.coordinator.rules import decoded_rules, encoded_rules, rules_of
from fastscp.dicom.options import OutputOptions
from fastscp.errors import UsageError
from fastscp.log.policy import LogPolicy
from fastscp.store.policy import StorePolicy, Sync
from fastscp.study.policy import FleetPolicy, HookPolicy, LateObjects, ObjectStorePolicy, Sorting, StudyPolicy
from fastscp.traces.policy import TracesPolicy
from fastscp.ul.policy import NegotiationPolicy

STORE = ObjectStorePolicy("bucket", "p", None, None)
FLEET = FleetPolicy("postgresql://db/pacs")
SORTED = StudyPolicy(sorting=Sorting.STUDY_UID, prefix="S", timeout_s=3)


def test_what_is_new_is_taken():
    old = Config(study=SORTED, output=OutputOptions(dictionary_paths=("there",)))
    new = Config(study=replace(SORTED, prefix="T", timeout_s=5, on_late=LateObjects.APPEND),
                 store=StorePolicy("/d", extension=".x"), negotiation=NegotiationPolicy(ae_title="A"),
                 hooks=HookPolicy(on_reception="true"), network=NetworkPolicy(acse_timeout_s=7),
                 by_sender={"ct": Config(store=StorePolicy("/ct"))}, output=OutputOptions(dictionary_paths=("gone",)))
    whole, kept = renewed(old, new)
    assert kept == []
    assert whole == replace(new, output=old.output, by_sender={"ct": Config(store=StorePolicy("/ct"), output=old.output)})


@pytest.mark.parametrize(("change", "name"), [
    ({"network": NetworkPolicy(workers=3)}, "workers"), ({"network": NetworkPolicy(port=5)}, "port"),
    ({"network": NetworkPolicy(max_per_title=5)}, "max-associations-per-aet"), ({"hooks": HookPolicy(jobs=3)}, "hook-jobs"),
    ({"hooks": HookPolicy(timeout_s=3)}, "hook-timeout"), ({"study": StudyPolicy(state_directory="/s")}, "state-dir"),
    ({"study": StudyPolicy(durable=True), "store": StorePolicy("/d", sync=Sync.OBJECT)}, "sync"),
    ({"log": LogPolicy(level="debug")}, "log"), ({"traces": TracesPolicy("http://there")}, "traces"), ({"network": NetworkPolicy(tls=TLSPolicy("k", "c"))}, "TLS"),
])
def test_what_belongs_to_the_start_stays(change, name):
    old = Config(store=StorePolicy("/d"))
    new = replace(old, by_sender={"ct": replace(old, **change)}, **change)
    assert renewed(old, new) == (replace(old, by_sender={"ct": old}), [name])


def test_a_password_that_was_asked_for_is_no_difference():
    old = Config(network=NetworkPolicy(tls=TLSPolicy("k", "c", password="asked")))
    assert renewed(old, Config(network=NetworkPolicy(tls=TLSPolicy("k", "c")))) == (old, [])


@pytest.mark.parametrize("new", [
    Config(study=SORTED), Config(by_sender={"ct": Config(study=SORTED)}), Config(hooks=HookPolicy(on_reception="echo #r")),
    Config(by_sender={"ct": Config(hooks=HookPolicy(on_end_of_study="echo #r"))}), Config(commitment=CommitmentPolicy()),
])
def test_what_the_processes_were_not_started_for_is_refused(new):
    with pytest.raises(UsageError, match="restart it"):
        renewed(Config(), new)
    assert renewed(new, new) == (new, [])


@pytest.mark.parametrize(("started", "option"), [({"object_store": STORE}, "object-store"), ({"fleet": FLEET}, "state")])
def test_what_needs_studies_is_not_left_out_by_a_reload(started, option):
    """What it needs may be left out, too: objects would be acknowledged that nobody uploads, or ships."""
    old = Config(study=SORTED, **started)
    with pytest.raises(UsageError, match=f"--{option}, which a reload cannot end"):
        renewed(old, Config())
    whole, kept = renewed(old, replace(old, hooks=HookPolicy(on_reception="true")))
    assert kept == []
    assert whole.hooks.on_reception == "true"


@pytest.mark.parametrize(("change", "name"), [({"object_store": replace(STORE, keep_local_s=0.0)}, "object-store"),
                                              ({"fleet": replace(FLEET, limit_s=7.0)}, "state")])
def test_a_store_and_a_fleet_stay_as_they_were_and_are_named_as_options_are(change, name):
    old = Config(study=SORTED, object_store=STORE, fleet=FLEET)
    assert renewed(old, replace(old, **change)) == (old, [name])


def test_peers_of_commitment_change_and_it_may_end():
    old = Config(commitment=CommitmentPolicy())
    for commitment in (CommitmentPolicy((CommitmentPeer("A", "there", 104),)), None):
        assert renewed(old, replace(old, commitment=commitment)) == (Config(commitment=commitment), [])


def test_rules_arrive_as_they_were_sent():
    config = Config(commitment=CommitmentPolicy((CommitmentPeer("A", "there", 104, tls=True),), wait_s=3),
                    study=replace(SORTED, on_late=LateObjects.APPEND), hooks=HookPolicy(on_reception="true \udcff"),
                    store=StorePolicy("/d\udcff", quarantine="/q"),
                    by_sender={"ct": Config(study=StudyPolicy(state_directory="/s"), store=StorePolicy("/ct", ignore=True))})
    rules = decoded_rules(encoded_rules(config))
    assert rules == rules_of(config)
    assert rules.own_directories == ("/q", "/s", "/d\udcff", "/ct")
    assert rules.of("ct").output_directory == "/ct"
    assert rules.of("gone") is rules.of("")
