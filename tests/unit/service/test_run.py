"""How the processes are put together: what a start settles, and what each process is given."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from fastscp.acceptor.policy import Bequest, WorkerStart
from fastscp.acceptor.predecessor import Inheritance
from fastscp.access.policy import AccessPolicy
from fastscp.config import Config
from fastscp.config.network import NetworkPolicy, ProcessMode, TLSPolicy
from fastscp.coordinator.rules import decoded_rules
from fastscp.dicom.options import OutputOptions, PrivateDictionary
from fastscp.errors import ProcessError, StorageError, UsageError
from fastscp.log.policy import LogPolicy
from fastscp.service import run as module
from fastscp.service import tidying
from fastscp.store.policy import MinFree, StorePolicy
from fastscp.study.policy import HookPolicy, StudyPolicy
from fastscp.worker.context import Shared
from fastscp.worker.limits import Places
from fastscp.worker.process import WorkerSettings
from tests.support.fake_processes import FakeListener

# -- what a start settles -------------------------------------------------------------------------


def test_dictionaries_that_are_not_there_are_left_out(tmp_path, caplog):
    there = tmp_path / "there.dic"
    there.write_text("")
    missing = str(tmp_path / "missing.dic")
    assert module.usable_dictionaries((missing, str(there))) == (str(there),)
    assert caplog.messages == [f"cannot read data dictionary {missing}, going on without it"]


def test_without_tls_there_is_nothing_to_ask_and_nothing_to_build():
    assert module.with_credentials(None) is None
    assert module.worker_settings(None) == WorkerSettings(tls_context=None)


def test_tls_without_a_key_is_an_error_at_the_start(tmp_path):
    with pytest.raises(UsageError, match="unable to load private TLS key"):
        module.with_credentials(TLSPolicy(private_key_file=str(tmp_path / "none")))


def test_dictionary_is_read_before_the_forks_unless_nothing_is_rewritten(monkeypatch):
    from fastscp.dicom import rewriter

    read = []
    monkeypatch.setattr(rewriter, "shared_dictionary", lambda *given: read.append(given))
    module.preload(Config(output=OutputOptions(bit_preserving=True)))
    assert read == []
    module.preload(Config(output=OutputOptions(dictionary_paths=("private.dic",))))
    assert read == [(("private.dic",), PrivateDictionary.AUTOMATIC)]


def test_code_that_may_be_another_version_later_is_loaded_before_the_forks():
    names = ("fastscp.tls.transport", "fastscp.study.transliterate")
    loaded = {name: sys.modules.pop(name, None) for name in names}
    try:
        module.preload(Config(output=OutputOptions(bit_preserving=True)))
        assert not any(name in sys.modules for name in names)
        module.preload(Config(output=OutputOptions(bit_preserving=True), network=NetworkPolicy(tls=TLSPolicy()),
                              study=StudyPolicy(names_by_character_set=True)))
        assert all(name in sys.modules for name in names)
    finally:
        sys.modules.update({name: was for name, was in loaded.items() if was is not None})


def test_password_that_is_known_is_not_asked_for(monkeypatch):
    from fastscp.tls import context

    monkeypatch.setattr(context, "prepare", lambda policy: policy)
    config = Config(network=NetworkPolicy(tls=TLSPolicy()))
    inherited = Bequest((), "secret")
    assert module.completed(config, inherited).network.tls.password == "secret"
    assert module.completed(config).network.tls.password is None
    assert module.completed(Config(), inherited).network.tls is None


def test_inherited_key_stands_in_for_a_file_that_cannot_be_read_and_for_no_later_one(monkeypatch, tmp_path):
    from fastscp.tls import context

    prepared, built = [], []
    monkeypatch.setattr(context, "prepare", lambda policy: prepared.append(policy) or policy)
    monkeypatch.setattr(context, "build_context", lambda policy: built.append(policy.private_key_file))
    file = str(tmp_path / "unreadable")
    config = Config(network=NetworkPolicy(tls=TLSPolicy(private_key_file=file)))
    completed = module.completed(config, Bequest((), key=7))
    assert [policy.private_key_file for policy in prepared] == ["/proc/self/fd/7"]
    assert completed.network.tls.private_key_file == file
    module.worker_settings(completed.network.tls, 7)
    module.children(completed, WorkerSettings(), 7).reload()
    assert built == ["/proc/self/fd/7", file]  # a reload says what it cannot read


@pytest.mark.parametrize(("user", "copied"), [("nobody", True), (None, False)])
def test_key_is_kept_for_a_successor_only_where_the_user_changes(tmp_path, user, copied):
    file = tmp_path / "key"
    file.write_text("secret")
    network = NetworkPolicy(tls=TLSPolicy(private_key_file=str(file)), user=user)
    left = module.bequest(network, Places())
    assert (left.key is not None) == copied
    assert module.bequest(network, Places(), 9).key == 9  # inherited, and left to the next one
    if left.key is not None:
        os.close(left.key)


# -- what the acceptor process is given -----------------------------------------------------------


def test_policy_of_a_pool():
    config = Config(network=NetworkPolicy(workers=3, max_associations=7, drain_timeout_s=5.0), access=AccessPolicy(enabled=True))
    policy = module.acceptor_policy(config, descriptors=1032)
    assert (policy.workers, policy.max_associations, policy.drain_timeout_s) == (3, 7, 5.0)
    assert (policy.connections_per_worker, policy.connections_held) == (241, 982)
    assert policy.access is config.access


def test_policy_of_one_association_at_a_time():
    config = Config(network=NetworkPolicy(mode=ProcessMode.SINGLE, workers=3, max_associations=7))
    policy = module.acceptor_policy(config, descriptors=1032)
    assert (policy.workers, policy.max_associations) == (1, 1)


def test_as_many_workers_as_cpus_unless_told(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5})
    assert module.acceptor_policy(Config(), descriptors=1032).workers == 3


@pytest.mark.parametrize(("lookup", "wanting", "wanted"), [
    (True, {}, False), (True, {"hooks": HookPolicy(on_reception="true")}, False),
    (True, {"hooks": HookPolicy(on_reception='echo "$FASTSCP_PEER_ADDRESS"')}, False),
    (True, {"access": AccessPolicy(enabled=True)}, True), (True, {"hooks": HookPolicy(on_reception="echo #r")}, True),
    (True, {"hooks": HookPolicy(on_end_of_study='echo "$FASTSCP_PEER"')}, True),
    (True, {"hooks": HookPolicy(on_end_of_series="echo ${FASTSCP_PEER}")}, True),
    (True, {"hooks": HookPolicy(event_log="f")}, True), (True, {"log": LogPolicy(level="info")}, True),
    (True, {"log": LogPolicy(config_file="f")}, True), (False, {"hooks": HookPolicy(on_reception="echo #r")}, False),
])
def test_names_are_looked_up_when_somebody_wants_them(lookup, wanting, wanted):
    config = Config(network=NetworkPolicy(lookup_hosts=lookup), **wanting)
    assert config.looks_up_hosts is wanted


# -- what runs in the children --------------------------------------------------------------------


@pytest.fixture
def worker(monkeypatch):
    """A worker that does nothing; yields what was done, in order."""
    done = []

    class Worker:
        def __init__(self, channel, config, settings, *, heartbeat=None):
            done.append(("made", channel))

        def run(self):
            done.append(("ran",))
            return 0

    monkeypatch.setattr(module, "Worker", Worker)
    monkeypatch.setattr(module, "renounce_new_privileges", lambda: done.append(("renounced",)))
    monkeypatch.setattr(tidying, "tidy", lambda directory: done.append(("tidied", directory)) or [])
    return done


CONFIG = Config(store=StorePolicy("/data"))


def test_first_worker_removes_nothing(worker):
    assert module.children(CONFIG, WorkerSettings()).worker(WorkerStart(0, "channel")) == 0
    assert worker == [("renounced",), ("made", "channel"), ("ran",)]


def test_successor_removes_what_the_dead_one_left_before_it_begins(worker):
    assert module.children(CONFIG, WorkerSettings()).worker(WorkerStart(0, "channel", predecessor=4711)) == 0
    assert worker == [("renounced",), ("tidied", "/data"), ("made", "channel"), ("ran",)]


def test_workers_begin_with_what_was_reloaded(monkeypatch):
    begun = []
    monkeypatch.setattr(module, "renounce_new_privileges", lambda: None)
    monkeypatch.setattr(module, "run_worker", lambda start, config, settings: begun.append(settings) or 0)
    contexts = ["first", "second"]
    monkeypatch.setattr(module, "worker_settings", lambda tls: WorkerSettings(tls_context=contexts[1]))
    shared = Shared()
    children = module.children(CONFIG, WorkerSettings(tls_context=contexts[0], shared=shared))
    children.worker(WorkerStart(0, "channel"))
    children.reload()
    children.worker(WorkerStart(0, "channel"))

    def unreadable(tls):
        raise StorageError("no key")

    monkeypatch.setattr(module, "worker_settings", unreadable)
    with pytest.raises(StorageError):
        children.reload()
    children.worker(WorkerStart(0, "channel"))
    assert [settings.tls_context for settings in begun] == ["first", "second", "second"]
    assert all(settings.shared is shared for settings in begun)


def test_configuration_that_was_reloaded_is_that_of_new_children(monkeypatch, caplog, tmp_path):
    begun = []
    monkeypatch.setattr(module, "renounce_new_privileges", lambda: None)
    monkeypatch.setattr(module, "run_worker", lambda start, config, settings: begun.append((config, settings)) or 0)
    monkeypatch.setattr("fastscp.coordinator.process.main", lambda control, config, heartbeat, board: begun.append((config, None)) or 0)
    old = replace(CONFIG, store=StorePolicy("/old"))
    new = replace(old, store=StorePolicy("/new"), network=replace(old.network, workers=99),
                  by_sender={"ct": replace(old, store=StorePolicy("/ct", min_free=MinFree("1", 1)))})
    answers = [new, UsageError("f:3: wrong"), new]

    def again():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    children = module.children(old, WorkerSettings(shared=Shared()), again=again)
    rules = children.reload()
    assert decoded_rules(rules).of("ct").output_directory == "/ct"
    assert caplog.messages == ["workers stays as it was until the next start"]
    children.worker(WorkerStart(0, "channel"))
    with pytest.raises(UsageError):
        children.reload()
    children.worker(WorkerStart(0, "channel"))
    children.coordinator("channel", None)
    assert {config.store.output_directory for config, _ in begun} == {"/new"}
    assert all(config.network == old.network for config, _ in begun)
    flag = begun[0][1].shared.short_of_room["ct"]
    children.reload()
    children.worker(WorkerStart(0, "channel"))
    assert begun[-1][1].shared.short_of_room == {"ct": flag}, "who found out that there is no room tells later workers, too"


def test_successor_tidies_up_the_quarantine(worker, tmp_path):
    config = replace(CONFIG, store=StorePolicy("/data", quarantine=str(tmp_path)))
    module.run_worker(WorkerStart(0, "channel", predecessor=4711), config, WorkerSettings())
    assert worker == [("tidied", "/data"), ("tidied", str(tmp_path)), ("made", "channel"), ("ran",)]


def test_what_was_left_is_removed_and_told(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / ".fastscp-0a-1.tmp").write_text("x")
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    (quarantine / ".fastscp-0a-1.keep").write_text("CT.X.1")
    (quarantine / "CT.X.1.json").write_text("{}")
    tidying.remove_leftovers(StorePolicy(str(tmp_path), quarantine=str(quarantine)))
    assert list(tmp_path.iterdir()) == [quarantine]
    assert list(quarantine.iterdir()) == []
    assert caplog.messages == [f"removed 1 files from {tmp_path} that dead processes left",
                               f"removed 2 files from {quarantine} that dead processes left"]


@pytest.mark.parametrize(("mode", "when"), [(ProcessMode.POOL, ["tidied", "served"]), (ProcessMode.INETD, ["served"])])
def test_leftovers_are_removed_at_the_start_of_a_service(monkeypatch, mode, when):
    done = []
    monkeypatch.setattr(module, "remove_leftovers", lambda store: done.append("tidied"))
    monkeypatch.setattr(module, "serve", lambda config, settings, *_others: done.append("served") or 0)
    monkeypatch.setattr("fastscp.service.inetd.serve_descriptor", lambda config, settings: done.append("served") or 0)
    assert module.run(replace(CONFIG, network=NetworkPolicy(port=1, mode=mode))) == 0
    assert done == when


def test_nothing_is_removed_where_nothing_is_stored(worker):
    config = replace(CONFIG, store=StorePolicy("/data", ignore=True))
    module.run_worker(WorkerStart(0, "channel", predecessor=4711), config, WorkerSettings())
    assert worker == [("made", "channel"), ("ran",)]


def test_temporaries_that_cannot_be_removed_do_not_keep_a_worker_from_starting(worker, monkeypatch, caplog):
    def fail(directory):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tidying, "tidy", fail)
    assert module.run_worker(WorkerStart(0, "channel", predecessor=4711), CONFIG, WorkerSettings()) == 0
    assert caplog.messages == ["cannot look for what was left in /data: Permission denied"]


@pytest.mark.parametrize("error", [StorageError("no directory"), OSError(5, "Input/output error")])
def test_worker_that_cannot_go_on_says_so(monkeypatch, caplog, error):
    class Worker:
        def __init__(self, channel, config, settings, *, heartbeat=None):
            raise error

    monkeypatch.setattr(module, "Worker", Worker)
    assert module.run_worker(WorkerStart(1, "channel"), CONFIG, WorkerSettings()) == 1
    assert caplog.messages == [f"worker 2 cannot go on: {error}"]


def test_coordinator_gets_its_channel_and_the_configuration(monkeypatch):
    from fastscp.coordinator import process as coordinator

    monkeypatch.setattr(coordinator, "main", lambda *given: given)
    assert module.children(CONFIG, WorkerSettings()).coordinator("channel", "heart") == ("channel", CONFIG, "heart", None)


# -- the order of a start -------------------------------------------------------------------------


class Listener(FakeListener):
    """Is bound to port 11112."""

    def getsockname(self):
        return "0.0.0.0", 11112


class Start:
    """A start in which every step is written down and none is taken."""

    def __init__(self, monkeypatch):
        from fastscp.acceptor import process, resolver
        from fastscp.service import privileges

        self.steps = []
        self.adopted = []
        monkeypatch.setattr(module, "adopt_listeners", lambda: self.adopted)
        monkeypatch.setattr(module, "tune", self.step("tune"))
        monkeypatch.setattr(module, "open_listener", self.step("listen", Listener()))
        monkeypatch.setattr(module, "raise_descriptor_limit", self.step("limit", 1032))
        monkeypatch.setattr(module, "set_title", lambda title: self.steps.append(f"title {title}"))
        monkeypatch.setattr(module, "preload", self.step("preload"))
        monkeypatch.setattr(privileges, "drop_privileges", lambda user: self.steps.append(f"become {user}"))
        monkeypatch.setattr(process, "AcceptorProcess", self.acceptor)
        monkeypatch.setattr(resolver, "Resolver", lambda: "resolver")

    def step(self, name, result=None):
        def take(*_):
            self.steps.append(name)
            return result

        return take

    def acceptor(self, policy, listeners, children, *, resolver, **others):
        self.predecessor = others["predecessor"]
        self.children = children
        self.steps.append(f"acceptor of {policy.workers} on {len(listeners)}, {'with' if resolver else 'without'} names")
        return self

    def run(self):
        return 0


@pytest.fixture
def start(monkeypatch):
    return Start(monkeypatch)


def test_privileges_are_dropped_after_the_port_is_bound_and_before_the_first_child(start):
    config = Config(network=NetworkPolicy(port=104, workers=2, user="nobody"))
    assert module.run(config) == 0
    assert start.steps == ["listen", "limit", "preload", "become nobody", "title acceptor [11112]",
                           "acceptor of 2 on 1, without names"]


def test_socket_of_the_service_manager_is_taken_instead_of_the_port(start):
    start.adopted += [Listener(), Listener()]
    assert module.run(Config(network=NetworkPolicy(workers=2), access=AccessPolicy(enabled=True))) == 0
    assert start.steps == ["tune", "tune", "limit", "preload", "title acceptor [11112]", "acceptor of 2 on 2, with names"]


class Predecessor:
    """Leaves a listening socket, the password of a key, and memory for places."""

    def __init__(self, memory):
        self.inheritance = Inheritance(1, Bequest([Listener()], "secret", hosts=memory))


def test_socket_of_a_predecessor_is_taken_and_what_is_shared_goes_on_to_be(start, monkeypatch):
    memory = os.memfd_create("places")
    predecessor = Predecessor(memory)
    monkeypatch.setattr(module, "adopt_predecessor", lambda: predecessor)
    monkeypatch.setattr(module, "worker_settings", lambda _tls, _key: WorkerSettings())
    tls = TLSPolicy(private_key_file="/none", certificate_file="/none")
    config = Config(network=NetworkPolicy(port=104, workers=2, max_per_host=3, tls=tls))
    assert module.run(config) == 0
    assert start.steps == ["tune", "limit", "preload", "title acceptor [11112]", "acceptor of 2 on 1, without names"]
    assert start.predecessor is predecessor
    assert start.children.bequest == Bequest((), "secret", hosts=memory)
    os.close(memory)


def test_program_that_cannot_follow_another_ends(start, monkeypatch, caplog):
    def refuse():
        raise ProcessError("of another kind")

    monkeypatch.setattr(module, "adopt_predecessor", refuse)
    assert module.run(Config(network=NetworkPolicy(port=104))) == 1
    assert caplog.messages == ["of another kind"]
    assert start.steps == []


def test_no_port_at_all_is_an_error(start, caplog):
    assert module.run(Config()) == 1
    assert caplog.messages == ["no port to listen on"]
    assert caplog.records[0].levelname == "ERROR"


def test_mistake_of_the_operator_is_fatal_before_anything_is_opened(start, caplog):
    tls = TLSPolicy(private_key_file="/none")
    assert module.run(Config(network=NetworkPolicy(port=104, tls=tls))) == 1
    assert start.steps == []
    assert caplog.records[0].levelname == "CRITICAL"


def test_one_association_from_a_super_server(monkeypatch):
    from fastscp.service import inetd

    monkeypatch.setattr(inetd, "serve_descriptor", lambda config, settings: 3)
    assert module.run(Config(network=NetworkPolicy(mode=ProcessMode.INETD))) == 3


def test_settled_configuration_is_what_everybody_gets(tmp_path):
    config = Config(output=OutputOptions(dictionary_paths=(str(tmp_path / "missing"),)))
    assert module.completed(config).output.dictionary_paths == ()
    assert module.completed(config).network == config.network
