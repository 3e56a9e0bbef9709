"""Configuration files: what they mean, what is wrong in them and on which line, and what counts more than they do."""

from pathlib import Path

import pytest

from fastscp.cli import main as program
from fastscp.cli.build import build
from fastscp.cli.check import check
from fastscp.cli.file import read_text
from fastscp.cli.layers import over
from fastscp.cli.load import complain, configuration, configured_again, load, showing
from fastscp.cli.option import Kind
from fastscp.cli.options import OPTIONS
from fastscp.cli.options_sections import PER_SENDER, in_file
from fastscp.cli.parse import parse
from fastscp.commitment.policy import CommitmentPeer
from fastscp.config.senders import Refusal
from fastscp.errors import UsageError
from fastscp.store.policy import FileNames, OnDuplicate
from fastscp.study.policy import Sorting
from tests.support.blocks import blocks_of


@pytest.fixture
def loaded(tmp_path):
    """Load a command line beside a file with a text; ``F`` is its path."""
    path = tmp_path / "f.toml"

    def run(text, *arguments):
        path.write_text(text, encoding="utf-8")
        return load(parse("fastscp", ["--config", str(path), *arguments]))
    return run


@pytest.fixture
def refusal(loaded, tmp_path):
    """Return what is said of a file, without the directory it is in."""
    def run(text, *arguments):
        def judge():
            one = loaded(text, *arguments)
            check(one.line, verbose=True)
            configuration(one, verbose=True)

        with pytest.raises(UsageError) as caught:
            judge()
        return str(caught.value).replace(f"{tmp_path}/", "")
    return run


def sample(option):
    """Return an option with good values, as one types them and as a file has them."""
    values = {Kind.INTEGER: None, Kind.SIZE: "5M", Kind.SHARE: "5%"}
    words, literals = [], []
    for argument in option.arguments:
        if argument.kind is Kind.INTEGER:
            number = argument.minimum if argument.minimum is not None and argument.minimum > 0 else 1
            words.append(str(number))
            literals.append(str(number))
        else:
            text = argument.choices[0] if argument.choices else values.get(argument.kind, "022" if option.long == "--umask" else "x")
            words.append(text)
            literals.append(f'"{text}"')
    if not literals:
        return words, "true"
    many = option.repeatable or len(literals) > 1
    return words, f"[{', '.join(literals)}]" if many else literals[0]


@pytest.mark.parametrize("option", [option for option in OPTIONS if in_file(option)], ids=lambda option: option.long)
def test_every_option_has_a_key(option):
    words, literal = sample(option)
    file = read_text("f", f"\n{option.name} = {literal}\n")
    assert file.occurrences == parse("fastscp", [option.long, *words]).occurrences
    assert file.occurrences[0].source == "f:2"


def test_options_that_end_the_program_have_none():
    assert sorted(option.name for option in OPTIONS if not in_file(option)) == [
        "check-config", "config", "help", "list-ciphers", "list-profiles", "print-config", "version"]


def test_options_of_senders_exist():
    assert {option.long for option in OPTIONS if in_file(option)} >= PER_SENDER


@pytest.mark.parametrize(("text", "said"), [
    ("a = 1", "f.toml:1: a: unknown key"),
    ("# x\n\noutput-directry = '.'", "f.toml:3: output-directry: unknown key\nhint: did you mean output-directory?"),
    ("help = true", "f.toml:1: help: only on the command line"),
    ("config = 'x'", "f.toml:1: config: only on the command line"),
    ("a = ", "f.toml:1: Invalid value"),
    ("a = 1\na = 2", "f.toml:2: Cannot overwrite a value"),
    ("debug = 1", "f.toml:1: debug: true or false is wanted"),
    ("workers = '4'", "f.toml:1: workers: an integer is wanted"),
    ("workers = true", "f.toml:1: workers: an integer is wanted"),
    ("workers = 1.5", "f.toml:1: workers: an integer is wanted"),
    ("aetitle = 1", "f.toml:1: aetitle: a string is wanted"),
    ("aetitle = ['A']", "f.toml:1: aetitle: a string is wanted"),
    ('output-directory = "a\\u0000"', "f.toml:1: output-directory: a NUL is in it"),
    ("max-object-size = true", "f.toml:1: max-object-size: an integer or a string is wanted"),
    ("padding-create = 4", "f.toml:1: padding-create: an array is wanted"),
    ("padding-create = [4]", "f.toml:1: padding-create: an array of 2 values is wanted"),
    ("padding-create = [4, '4']", "f.toml:1: padding-create: an integer is wanted"),
    ("add-cert-file = 'a'", "f.toml:1: add-cert-file: an array is wanted"),
    ("port = '1'", "f.toml:1: port: an integer is wanted"),
    ("\nworkers = 0", "f.toml:2: workers: Invalid value for option --workers (underflow: 0)"),
    ("max-pdu = 5", "f.toml:1: max-pdu: Invalid value for option --max-pdu (underflow: 5)"),
    ("aetitle = '12345678901234567'", "f.toml:1: aetitle: Invalid value for option --aetitle (12345678901234567): more than 16 characters"),
    ("umask = '8'", "f.toml:1: umask: Invalid value for option --umask: 8 is not an octal number up to 777"),
    ("bit-preserving = true\nsort-on-study-uid = 'x'", "f.toml:2: sort-on-study-uid: not allowed with bit-preserving (line 1)"),
    ("sort-conc-studies = 'x'\nsort-on-study-uid = 'x'", "f.toml:2: sort-on-study-uid: not allowed with sort-conc-studies (line 1)"),
    ("single-process = true\nworkers = 2", "f.toml:2: workers: not allowed with single-process (line 1)"),
    ("exec-on-eostudy = 'true'", "f.toml:1: exec-on-eostudy: --exec-on-eostudy only allowed with --sort-conc-studies, --sort-on-study-uid or --sort-on-patientname"),
    ("add-cert-file = ['a']", "f.toml:1: add-cert-file: --add-cert-file only allowed with --enable-tls"),
    ("completed-directory = 'c'\nsort-on-study-uid = ''\non-late = 'append'",
     "f.toml:1: completed-directory: --completed-directory not allowed with --on-late append"),
    ("exec-on-reception = 'echo $(echo #p)'", "f.toml:1: exec-on-reception: --exec-on-reception: #p in"),
    ("config-file = ['none.cfg', 'P']", "f.toml:1: config-file: "),
    ("sender = 1", "f.toml:1: sender: an array of tables is wanted: [[sender]]"),
    ("[sender]\nname = 'a'", "f.toml:1: sender: an array of tables is wanted: [[sender]]"),
    ("[[sender]]", "f.toml:1: sender: a section without name"),
    ("[[sender]]\nname = ''", "f.toml:2: name: a string of up to 64 letters, digits, '_', '-' and '.' is wanted"),
    ("[[sender]]\nname = 'a/b'", "f.toml:2: name: a string of up to 64"),
    ("[[sender]]\nname = 'a'\n[[sender]]\nname = 'a'", "f.toml:4: name: there is a section a before"),
    ("[[sender]]\nname = 'a'\ncalling-aet = 'X'", "f.toml:3: calling-aet: an array of strings is wanted"),
    ("[[sender]]\nname = 'a'\ncalled-aet = []", "f.toml:3: called-aet: an array of strings is wanted"),
    ("[[sender]]\nname = 'a'\nnetwork = ['10.0.0.1/8']", "f.toml:3: network: 10.0.0.1/8 has host bits set"),
    ("[[sender]]\nname = 'a'\naccept = 1", "f.toml:3: accept: true or false is wanted"),
    ("[[sender]]\nname = 'a'\nworkers = 1", "f.toml:3: workers: not allowed in a section"),
    ("[[sender]]\nname = 'a'\ncaling-aet = ['X']", "f.toml:3: caling-aet: unknown key\nhint: did you mean calling-aet?"),
    ("[[sender]]\nname = 'a'\non-duplicate = 'x'", "f.toml:3: on-duplicate: Invalid value for option --on-duplicate (x)"),
    ("[[sender]]\nname = 'a'\nbit-preserving = true\nsort-on-study-uid = 'x'",
     "f.toml:4: sort-on-study-uid: not allowed with bit-preserving (line 3)"),
    ("sender = [ { name = 'a', workers = 1 } ]", "f.toml:1: workers: not allowed in a section"),
    ("unmatched = 1", "f.toml:1: unmatched: a table is wanted: [unmatched]"),
    ("[unmatched]\naccept = 'no'", "f.toml:2: accept: true or false is wanted"),
    ("[unmatched]\nworkers = 1", "f.toml:2: workers: unknown key"),
])
def test_mistakes_are_told_with_file_line_and_key(refusal, text, said):
    assert refusal(text).startswith(said)


def test_files_that_cannot_be_read(tmp_path):
    for content, said in ((None, "cannot be read: No such file or directory"), (b"\xff", "not UTF-8"),
                          (b"a = " + b"[" * 100000, "")):
        path = tmp_path / "g.toml"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            load(parse("fastscp", ["--config", str(path)]))
        assert str(caught.value).startswith(f"{path}")
        assert said in str(caught.value)


def test_windows_line_ends(tmp_path):
    (tmp_path / "w.toml").write_bytes(b"workers = 2\r\nx = 1\r\n")
    with pytest.raises(UsageError, match=r"w\.toml:2: x: unknown key"):
        load(parse("fastscp", ["--config", str(tmp_path / "w.toml")]))


@pytest.mark.parametrize(("text", "arguments", "same"), [
    ("workers = 2\nmax-pdu = 5000", ["--workers", "3"], ["-pdu", "5000", "--workers", "3"]),
    ("sort-on-study-uid = 'A'", ["-ss", "B"], ["-ss", "B"]),
    ("debug = true", ["-v"], ["-v"]),
    ("log-level = 'info'", ["-d"], ["-d"]),
    ("log-config = 'log.cfg'", ["-q"], ["-q"]),
    ("sort-on-study-uid = 'A'\nexec-on-eostudy = 'true'\neostudy-timeout = 3", ["+B"], ["+B"]),
    ("enable-tls = ['k', 'c']\nadd-cert-file = ['a', 'b']", ["+cf", "c"], ["+tls", "k", "c", "+cf", "c"]),
    ("enable-tls = ['k', 'c']\nadd-cert-file = ['a', 'b']", ["-tls"], ["-tls"]),
    ("single-process = true", ["--fork"], ["--fork"]),
    ("access-control = true", [], ["+ac"]),
    ("quiet = false", ["-q"], ["-q"]),
    ("add-cert-file = []", [], []),
])
def test_the_command_line_counts_more(loaded, text, arguments, same):
    line = loaded(text, *arguments).line
    given = [one for one in line.occurrences if one.option.long != "--config"]
    assert given == list(parse("fastscp", same).occurrences)


def test_the_port_is_that_of_the_command_line_or_of_the_file(loaded):
    assert loaded("port = 104").line.parameters == ("104",)
    assert loaded("port = 104", "105").line.parameters == ("105",)
    assert loaded("").line.parameters == ()


def test_a_mistake_that_was_made_before_stays_one(refusal):
    """What never had what it requires does not give way in silence."""
    assert refusal("exec-on-eostudy = 'true'", "-q").startswith("f.toml:1: exec-on-eostudy: ")


def test_what_required_something_that_gave_way_gives_way_too():
    below = parse("fastscp", ["+tls", "k", "c", "+cf", "a", "-su", "x", "-tos", "3"]).occurrences
    above = parse("fastscp", ["-tls"]).occurrences
    assert [one.option.long for one in over(below, above)] == ["--sort-on-study-uid", "--eostudy-timeout", "--disable-tls"]
    assert [one.option.long for one in over(below, above, {"--sort-on-study-uid"})] == ["--disable-tls"]


SECTIONS = """
output-directory = "/top"
sort-on-study-uid = "T"
exec-on-reception = "top"
max-associations = 50

[[sender]]
name = "ct"
calling-aet = ["CT*", "MR1 "]
called-aet = ["GATEWAY"]
network = ["10.1.0.0/16", "2001:db8::/32"]
output-directory = "/ct"
sort-conc-studies = "S"
max-associations = 4
exec-on-reception = false

[[sender]]
name = "raw"
calling-aet = ["RAW"]
bit-preserving = true
on-duplicate = "keep"

[[sender]]
name = "never"
calling-aet = ["BAD?"]
accept = false
"""


def test_a_sections_value_counts_more_than_the_command_lines(loaded):
    config = configuration(loaded(SECTIONS, "-od", "/line", "+uf"), verbose=True)
    assert (config.store.output_directory, config.study.prefix) == ("/line", "T")
    ct, raw = config.by_sender["ct"], config.by_sender["raw"]
    assert (ct.store.output_directory, ct.study.sorting, ct.study.prefix) == ("/ct", Sorting.CONCURRENT_STUDIES, "S")
    assert (ct.hooks.on_reception, raw.hooks.on_reception) == (None, "top")
    assert (raw.store.output_directory, raw.study.sorting, raw.output.bit_preserving) == ("/line", Sorting.NONE, True)
    assert (ct.store.on_duplicate, raw.store.on_duplicate) == (OnDuplicate.REPLACE, OnDuplicate.KEEP)
    assert {own.store.file_names for own in config.every} == {FileNames.UNIQUE}
    assert [one.max_associations for one in config.senders.sections] == [4, None, None]
    assert config.network.max_associations == 50


@pytest.mark.parametrize(("calling", "called", "address", "wanted"), [
    ("CT1", "GATEWAY", "10.1.2.3", "ct"), ("MR1", "GATEWAY", "2001:db8::1", "ct"), ("CT1", "GATEWAY", "::ffff:10.1.2.3", "ct"),
    ("RAW", "X", "1.1.1.1", "raw"), ("CT1", "X", "10.1.2.3", Refusal.CALLED), ("CT1", "GATEWAY", "10.2.0.1", Refusal.NETWORK),
    ("ct1", "GATEWAY", "10.1.2.3", Refusal.CALLING), ("CT1", "X", "10.2.0.1", Refusal.CALLING),
    ("BAD1", "X", "1.1.1.1", Refusal.CALLING), ("MR1", "GATEWAY", "fe80::1%eth0", Refusal.NETWORK), ("CT1", "GATEWAY", "", Refusal.NETWORK),
])
def test_which_section_serves_whom(loaded, calling, called, address, wanted):
    senders = configuration(loaded(SECTIONS + "[unmatched]\naccept = false\n"), verbose=True).senders
    chosen = senders.choose(calling, called, address)
    assert (chosen if isinstance(chosen, Refusal) else chosen.name) == wanted


def test_whoever_fits_no_section_is_served_as_without_sections(loaded):
    senders = configuration(loaded(SECTIONS), verbose=True).senders
    assert senders.choose("X", "Y", "1.1.1.1") is None
    assert senders.choose("BAD1", "Y", "1.1.1.1") is Refusal.CALLING
    assert senders
    assert not configuration(loaded(""), verbose=True).senders


def test_a_section_that_is_wrong_only_with_what_is_below_it(refusal):
    text = "completed-directory = 'c'\nsort-on-study-uid = ''\n[[sender]]\nname = 's'\non-late = 'append'\n"
    assert refusal(text).startswith("f.toml:1: completed-directory: --completed-directory not allowed with --on-late append")
    said = refusal("[[sender]]\nname = 's'\nstudy-manifest = true\nsort-on-patientname = false\n", "-sp")
    assert said.startswith("f.toml:3: study-manifest: --study-manifest only allowed with")


ODD = ["-od", 'a"b\\c\t\x7fü', "+p", "4", "8", "-su", "", "-v", "--max-object-size", "4G", "-ta", "+5", "+cf", "a", "+cf", "b",
       "+tls", "k", "c", "-xcr", "echo 'x' \"#f\"", "--umask", "022", "11112"]


@pytest.mark.parametrize(("text", "arguments"), [
    ("", ODD), (SECTIONS + "[unmatched]\naccept = false\n", ["104"]), (SECTIONS, ["-od", "x", "104"]), ("", ["104"]), ("port = 104", []),
])
def test_what_is_printed_means_the_same(loaded, text, arguments):
    first = loaded(text, *arguments)
    shown = showing(first)
    second = loaded(shown)
    assert configuration(second, verbose=True) == configuration(first, verbose=True)
    assert showing(second) == shown


def test_what_toml_has_no_words_for_is_not_printed(loaded):
    with pytest.raises(UsageError, match="--filename-extension"):
        showing(loaded("", "-fe", "\udcff"))


def test_read_again(tmp_path):
    path = tmp_path / "f.toml"
    given = parse("fastscp", ["--config", str(path), "-od", str(tmp_path), "104"])
    path.write_text("max-pdu = 5000")
    assert configured_again(given, verbose=False).negotiation.max_pdu_length == 5000
    for text, said in (("max-pdu = 50", "underflow"), ("x = 1", "unknown key"), ("verbose-pc = true", "verbose mode"),
                       ("log-level = 'x'", "log level"), ("port = 0", ""), ("quarantine = '/nowhere'", "does not exist"),
                       ("[[sender]]\nname = 's'\noutput-directory = '/nowhere'", "section s: specified output directory does not exist")):
        path.write_text(text)
        if said:
            with pytest.raises(UsageError, match=said):
                configured_again(given, verbose=False)
    path.write_text("max-pdu = 6000")
    assert configured_again(given, verbose=False).negotiation.max_pdu_length == 6000


def test_a_file_and_the_same_command_line_give_the_same_configuration(loaded):
    text = 'sort-on-study-uid = "CT"\neostudy-timeout = 5\nmax-associations = 7\naccept-all = true\nbit-preserving = false\n'
    line = parse("fastscp", ["-su", "CT", "-tos", "5", "--max-associations", "7", "+xa"])
    assert configuration(loaded(text), verbose=True) == build(line)


@pytest.mark.parametrize(("text", "status"), [("", 0), ("eostudy-timeout = 1", 1), ("user = 'no such user'", 1),
                                              ("enable-tls = ['none.key', 'none.crt']", 1), ("max-pdu = 1", 1),
                                              ("access-control = true\nhosts-allow = 'none'", 1), ("event-log = '.'", 1)])
def test_check_config(tmp_path, monkeypatch, text, status):
    monkeypatch.setattr("fastscp.log.configure", lambda policy: None)  # the logging of the tests stays
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "_occupy_standard_descriptors", lambda: None)
    (tmp_path / "f.toml").write_text(text)
    assert program.main(["fastscp", "--config", "f.toml", "--check-config", "-q", "11112"]) == status
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.toml"]


def test_print_config(tmp_path, capfd):
    (tmp_path / "f.toml").write_text("workers = 2")
    assert program.main(["fastscp", "--config", str(tmp_path / "f.toml"), "--print-config", "-su", "x", "11112"]) == 0
    assert capfd.readouterr().out == 'port = 11112\nsort-on-study-uid = "x"\nworkers = 2\n'


def test_examples_of_the_documents_are_good(loaded):
    docs = Path(__file__).parents[3] / "docs"
    first = next(block.text for block in blocks_of(docs / "configuration.md") if block.file == "/etc/fastscp.toml")
    for text in ((docs / "examples" / "fastscp.toml").read_text(encoding="utf-8"), first):
        config = configuration(loaded(text), verbose=True)
        assert config.senders.sections[0].name == "ct-suite"
        assert not config.senders.accepts_unmatched
        assert config.network.port == 11112


PEERS = """storage-commitment = true

[[commitment-peer]]
aet = "CT1"
host = "ct1.example"
port = 104

[[commitment-peer]]
aet = "CT2"
host = "2001:db8::7"
port = 11112
tls = true
"""


def test_tables_about_commitment_peers(loaded):
    one = loaded(PEERS, "11112")
    made = configuration(one, verbose=True)
    assert made.commitment.peers == (CommitmentPeer("CT1", "ct1.example", 104), CommitmentPeer("CT2", "2001:db8::7", 11112, tls=True))
    again = loaded("storage-commitment = true\ncommitment-peer = ['CT1=ct1.example:104', 'CT2=[2001:db8::7]:11112,tls']\n", "11112")
    assert configuration(again, verbose=True).commitment == made.commitment


@pytest.mark.parametrize(("line", "complaint"), [
    ("title = 'x'", "f.toml:8: title: unknown key"), ("port = '1'", "f.toml:8: port: an integer is wanted"),
    ("tls = 1", "f.toml:8: tls: true or false is wanted"), ("host = 1", "f.toml:8: host: a string is wanted"),
    ("", "f.toml:7: commitment-peer: a peer without aet")])
def test_mistakes_in_tables_about_peers_have_their_line(refusal, line, complaint):
    text = PEERS.split('\n\n[[commitment-peer]]\naet = "CT2"', maxsplit=1)[0] + "\n[[commitment-peer]]\n" + line + "\n"
    assert refusal(text, "11112") == complaint


@pytest.mark.parametrize(("title", "host", "line", "complaint"), [
    ("CT1", "[", 3, "Invalid value for option --commitment-peer: CT1=[:104 is not aet=host:port[,tls]"),
    ("CT2", "h", 8, "--commitment-peer: CT2 has an address before")])
def test_values_of_tables_about_peers_have_their_line(refusal, title, host, line, complaint):
    """Not that of the last table."""
    text = PEERS.replace("CT1", title).replace("ct1.example", host)
    assert refusal(text, "11112") == f"f.toml:{line}: commitment-peer: {complaint}"


def test_balancers_that_are_none_have_their_line(refusal):
    assert refusal("proxy-protocol = '10.0.0.1/8'\n", "11112").startswith("f.toml:1: proxy-protocol: ")


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_port_that_is_none_has_its_line(refusal, port):
    assert refusal(f"debug = true\nport = {port}\n") == "f.toml:2: port: a number from 1 to 65535 is wanted"


def test_what_a_section_cannot_begin_with_has_its_line(loaded, tmp_path):
    one = loaded("[[sender]]\nname = 'a'\n\n[[sender]]\nname = 'b'\noutput-directory = '/is/not/there'\n", "11112")
    with pytest.raises(UsageError) as caught:
        complain(configuration(one, verbose=True), one)
    assert str(caught.value) == f"{tmp_path}/f.toml:4: section b: specified output directory does not exist"


def test_places_of_a_section_are_not_counted_across_processes_of_a_super_server(refusal, loaded):
    text = "max-associations = 3\n[[sender]]\nname = 'a'\n"
    assert refusal(f"{text}max-associations = 2\n", "--inetd") == (
        "f.toml:4: max-associations: not allowed with --inetd, a process knows of no others")
    assert configuration(loaded(text, "--inetd"), verbose=True).senders.sections[0].max_associations is None


def test_peer_whose_title_is_none_is_refused(refusal):
    text = "storage-commitment = true\n[[commitment-peer]]\naet = ''\nhost = 'h'\nport = 104\n"
    assert "--commitment-peer" in refusal(text, "11112")
