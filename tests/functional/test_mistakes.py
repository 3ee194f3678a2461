"""A hundred mistakes of a person at a command line: each gets one sentence that helps, and nothing is changed."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import salt.minion
import salt.utils.args

from hart_salt import answer
from hart_salt.arguments import parameters
from hart_salt.config.catalog import Catalogue
from hart_salt.drivers import schemas
from hart_salt.inventory.records import Store
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place
from tools.reference import functions

place = test_use_cases.place  # the fixture
#: what is typed after ``salt-run hart.``, and the beginning of what is printed; there are the nodes old-1 and old-2
MISTAKES = [
    ("create", "hart.create needs an id: salt-run hart.create ID"),
    ("create web-1 role=ap", "there is no role ap, did you mean app?; the roles are app, db"),
    (
        "create web-1 role=app provider=clout",
        "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it",
    ),
    ("create web-1 role=app region=her", "cloud: no region her, did you mean here?"),
    ("create web-1 role=app zone=here-c", "cloud: no zone here-c, did you mean here-b?"),
    ("create web-1 role=app size=smal", "cloud: no size smal, did you mean small?"),
    ("create web-1 role=app szie=small", "argument:szie: unknown setting, did you mean size?"),
    ("create web-1 role=app size=", "argument:size: must not be empty"),
    ("create WEB_1! role=app", "argument:minion_id: 'WEB_1!' may hold only letters, digits, '.', '-' and '_'"),
    (
        "create web-1,web-1 role=app",
        "web-1: two nodes of this call would have this id; name it once, or use {unique_id} in",
    ),
    ("create ../etc role=app", "argument:minion_id: '../etc' may hold only letters, digits, '.', '-' and '_'"),
    ("create a/b role=app", "argument:minion_id: 'a/b' may hold only letters, digits, '.', '-' and '_'"),
    ("create web-1 rol=app", "argument:rol: unknown setting, did you mean role?"),
    ("create web-1 role=app test=maybe", "test must be True or False"),
    (
        "create web-1 role=app apply=hightstate",
        "apply: there is no state hightstate, did you mean highstate?; it would be below",
    ),
    (
        "create web-1 role=app apply=highstate,app",
        "argument:apply: must be either 'highstate' or a list of SLS names, not both",
    ),
    ("create web-1 role=app script=/nowhere", "script: /nowhere: No such file or directory"),
    ("create web-1 role=app boot_timeout=soon", "argument:boot_timeout: must be a number above 0"),
    ("create web-1 role=app boot_timeout=-1", "argument:boot_timeout: must be a number above 0"),
    ("create web-1 role=app tags=1.5", "argument:tags: must be a list of texts, or one text separated by commas"),
    ("create web-1 role=app minion_config=x", "argument:minion_config: must be a mapping"),
    (
        "create web-1 role=app salt_version=newest",
        "argument:salt_version: must be a Salt version such as '3008', '3008.3' or '3008.*'",
    ),
    ("create web-1 role=app security_upgrades=later", "argument:security_upgrades: must be one of before, after, off"),
    ("create web-1 role=app public_ip=perhaps", "argument:public_ip: must be true or false"),
    ("create web-1 role=app config=/nowhere.toml", "/nowhere.toml: there is no such file"),
    ("create web-1 role=app keep_failed=7", "argument:keep_failed: must be true or false"),
    ("create data role=app", "argument:minion_id: 'data' is a word with another meaning in Salt's results; choose"),
    ("create old-1 role=app", "old-1: a key with that id exists, accepted; see salt-key -f old-1"),
    (
        "create web-1 role=app count=3",
        "hart.create takes the id of each node, not count; hart.create_role ROLE count=3",
    ),
    ("create web-1 role=app cuont=3", "argument:cuont: unknown setting"),
    ("create_role", "hart.create_role needs a role: salt-run hart.create_role ROLE"),
    ("create_role ap", "there is no role ap, did you mean app?; the roles are app, db"),
    ("create_role app count=0", "count must be a whole number of at least 1"),
    ("create_role app count=-3", "count must be a whole number of at least 1"),
    ("create_role app count=many", "count must be a whole number of at least 1"),
    ("create_role app count=1000000", "count must be at most 10000; 1000000 is more than one call creates"),
    ("create_role app count=1.5", "count must be a whole number of at least 1"),
    ("create_role app 3", "hart.create_role takes one role; write everything else as name=value: 3"),
    ("create_role app cuont=3", "argument:cuont: unknown setting, did you mean count?"),
    ("create_role app role_naming_scheme={nope}", "argument:role_naming_scheme: must be text"),
    (
        "create_role app role_naming_scheme=fixed count=2",
        "fixed: two nodes of this call would have this id; name it once, or use {unique_id} in",
    ),
    ("create_master", "hart.create_master needs an id: salt-run hart.create_master ID"),
    ("create_master m1 grains=x", 'argument:grains: must be a mapping, such as \'{"team": "web"}\''),
    (
        "create_master m1 authorize_key=/nowhere",
        "argument:authorize_key: must be one line with an OpenSSH public key, as in a file such as",
    ),
    ("create_master m1 provider=cloud role=app", "argument:role: is for minions; pass the settings of a new"),
    ("create_master m1 provider=cloud count=2", "argument:count: is for minions; a call creates one master"),
    ("create_master m1 rol=app", "argument:rol: unknown setting"),
    ("create_master m1 autorize_key=x", "argument:autorize_key: unknown setting, did you mean authorize_key?"),
    ("create_master m1 apply=highstate", "argument:apply: is for minions; use script to run something on a new master"),
    ("destroy", "hart.destroy needs an id or a selector: salt-run hart.destroy ID, or role=ROLE test=True"),
    ("destroy nobody", "nobody: is not known:"),
    ("destroy old-1 force=True", "unknown argument: force"),
    (
        "destroy app-*",
        "hart.destroy takes ids, and app-* is a pattern; select nodes by role, provider, region",
    ),
    ("destroy role=ap yes=True", "there is no role ap, did you mean app?"),
    ("destroy role=app,regoin=here", "unknown selector: regoin, did you mean region?"),
    ("destroy role=db yes=True", "no node of this master matches role=db"),
    ("destroy old-1 role=app", "hart.destroy takes ids or a selector (role=app), not both"),
    ("list_minions sort=aeg", "sort cannot be aeg, did you mean age?"),
    ("destroy a b", "a: is not known:"),
    ("scale", "hart.scale needs a role: salt-run hart.scale ROLE"),
    ("scale ap count=2", "there is no role ap, did you mean app?; the roles are app, db"),
    ("scale app", "set count, the number of nodes, delta, the change of that number, or the bounds"),
    ("scale app count=2 delta=1", "set either count, the number of nodes, or delta, the change of that number"),
    ("scale app count=-1", "count must be a whole number of at least 0"),
    ("scale app delta=more", "delta must be a whole number"),
    ("scale app min=3 max=2", "min is 3 and max is 2: min must not be above max"),
    (
        "scale app count=2 remove=youngest",
        "remove names youngest, which is not a ready node of this role here; remove must be",
    ),
    (
        "scale app count=2 remove=nobody",
        "remove names nobody, which is not a ready node of this role here; remove must be newest,",
    ),
    ("scale app count=1 cooldown=long", "cooldown must be a number of seconds"),
    (
        "scale app count=1 provider=clout",
        "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it",
    ),
    ("replace", "hart.replace needs a role: salt-run hart.replace ROLE"),
    ("replace ap", "there is no role ap, did you mean app?; the roles are app, db"),
    ("replace app batch=0", "batch must be a whole number of at least 1"),
    ("replace app batch=many", "batch must be a whole number of at least 1"),
    ("replace app count=2", "argument:count: is a setting of fleets, and belongs in"),
    ("replace app bacth=2", "argument:bacth: unknown setting, did you mean batch?"),
    ("replace app remove=oldest", "argument:remove: is a setting of fleets, and belongs in hart:fleets:<name>"),
    ("sweep grace=later", "grace must be a number of seconds"),
    ("sweep grace=-1", "grace must be a number of seconds"),
    ("sweep provider=clout", "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it"),
    ("sweep app", "unknown argument: app"),
    ("sweep dry_run=True", "unknown argument: dry_run"),
    ("list_minions role=ap", "there is no role ap, did you mean app?"),
    ("list_minions status=redy", "there is no status redy, did you mean ready?"),
    ("list_minions region=heer", "there is no region heer, did you mean here?"),
    (
        "list_minions provider=clout",
        "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it",
    ),
    ("list_minions app", "unknown argument: app"),
    ("list_minions ping=sometimes", "ping must be True or False"),
    ("show", "hart.show needs an id: salt-run hart.show ID"),
    ("show nobody", "nobody: is not known:"),
    ("show old-1 old-2", "hart.show takes one id; write everything else as name=value: old-2"),
    ("node nobody", "nobody:"),
    ("node old-1 stage=redy", "stage must be one of launching, running, bootstrapping, enrolling, enrolled, ready"),
    ("node_of ip=1.2.3", "ip must be an IP address, such as ip=203.0.113.7"),
    ("node_of", "hart.node_of needs an ip: salt-run hart.node_of IP"),
    ("check role=ap", "there is no role ap, did you mean app?; the roles are app, db"),
    ("check provider=clout", "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it"),
    ("check count=0", "count must be a whole number of at least 1"),
    ("check_seal", "hart.check_seal needs a target: salt-run hart.check_seal TARGET"),
    ("check_seal * tgt_type=globb", "there is no tgt_type globb, did you mean glob?"),
    ("show_role", "hart.show_role needs a role: salt-run hart.show_role ROLE"),
    ("show_role ap", "there is no role ap, did you mean app?; the roles are app, db"),
    (
        "show_role app provider=clout",
        "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it",
    ),
    ("show_role app test=True", "argument:test: unknown setting"),
    ("show_role app count=2", "argument:count: is a setting of fleets, and belongs in"),
    ("show_role app szie=1", "argument:szie: unknown setting, did you mean size?"),
    ("list_roles app", "unknown argument: app"),
    ("list_regions clout", "there is no provider clout, did you mean cloud?; configured: cloud, other; configure it"),
    ("list_sizes", "several providers are possible: cloud, other; name one, as in provider=cloud"),
    ("list_sizes cloud region=heer", "there is no region heer at cloud, did you mean here?"),
    ("list_sizes cloud memory=lots", "memory must be a number, such as memory=4"),
    ("list_sizes cloud arch=x68", "there is no arch x68, did you mean x86?: write amd64 or arm64"),
    (
        "list_sizes cloud sort=cost",
        "cannot sort by cost: write one of price, memory, cpus, disk, name, with - before it for",
    ),
    ("list_images cloud region=heer", "there is no region heer at cloud, did you mean here?"),
    ("list_images cloud trixie", "unknown argument: trixie"),
    ("bake", "hart.bake needs a role: salt-run hart.bake ROLE"),
    ("bake ap", "there is no role ap, did you mean app?; the roles are app, db"),
    ("bake app now", "hart.bake takes one role; write everything else as name=value: now"),
    ("bake app keep=0", "keep must be a whole number of at least 1"),
    ("bake app keep=few", "keep must be a whole number of at least 1"),
    ("bake app region=", "region must not be empty"),
    ("bake app", "cloud cannot have baked images: its driver cannot make images of instances"),
    ("bake app provider=clout", "there is no provider clout, did you mean cloud?; configured: cloud, other"),
    ("bake app apply=", "argument:apply: must not be empty"),
    ("bake app apply=[]", "argument:apply: must not be empty: write 'highstate' or a list of SLS names"),
    ("bake app apply=highstate,app", "argument:apply: must be either 'highstate' or a list of SLS names, not both"),
    ("bake app bake=[]", "argument:bake: must not be empty: write 'highstate' or a list of SLS names"),
    ("bake app bake=one apply=two", "apply stands for the setting bake, which is also given: keep one of them"),
    ("bake app bake_after=7d", "argument:bake_after: is a setting of fleets, and belongs in hart:fleets:<name>"),
    ("create web-1 role=app apply=[]", "argument:apply: must not be empty: write 'highstate' or a list of SLS names"),
    ("create web-1 role=app drain=[]", "argument:drain: must not be empty: write SLS names, or a mapping with"),
    ("bake app base_image=baked", "argument:base_image: must name an image, such as trixie, and not baked"),
    ("bake app base_image=baked!", "argument:base_image: must name an image, such as trixie, and not baked!"),
    (
        "create web-1 role=app image=bullseye",
        "argument:image: hart cannot boot bullseye, only Debian 12 (bookworm) and 13 (trixie), and Ubuntu 22.04",
    ),
    ("bake app count=3", "argument:count: is a setting of fleets, and belongs in"),
    ("bake app keeep=3", "argument:keeep: unknown setting, did you mean keep?"),
    ("bake app bak=base", "argument:bak: unknown setting, did you mean bake?"),
    ("bake app test=maybe", "test must be True or False"),
    (
        "create web-1 provider=cloud image=baked!",
        "argument:image: only nodes of a role can boot a baked image; add role=ROLE",
    ),
    ("remove_image", "hart.remove_image needs an image: salt-run hart.remove_image IMAGE"),
    ("remove_image 112 113", "hart.remove_image takes one image; write everything else as name=value: 113"),
    ("remove_image 112", "there is no baked image 112"),
    ("remove_image 112 provider=clout", "there is no provider clout, did you mean cloud?; configured: cloud, other"),
    ("remove_image 112 force=perhaps", "force must be True or False"),
    ("remove_image 112 forec=True", "unknown argument: forec; did you mean force?"),
    ("add_ip", "hart.add_ip needs an id: salt-run hart.add_ip ID"),
    ("add_ip old-1", "kind must be one of reserved, additional, private; with ip=ADDRESS it is reserved"),
    ("add_ip old-1 kind=reservd", "kind must be one of reserved, additional, private; with ip=ADDRESS it is reserved"),
    ("add_ip old-1 kind=additional ip=203.0.113.9", "ip selects a reserved address: omit it with kind=additional"),
    ("add_ip old-1 ip=300.0.0.1", "ip must be an IPv4 address, such as ip=203.0.113.7"),
    ("remove_ip old-1", "ip must be an IPv4 address, such as ip=203.0.113.7"),
    ("remove_ip nobody ip=203.0.113.9", "nobody: is not known:"),
    ("import_minion", "hart.import_minion needs an id: salt-run hart.import_minion ID"),
    ("import_minion nobody", "several providers are possible: cloud, other; name one, as in provider=cloud"),
    ("import_minions /nowhere", "/nowhere cannot be read: No such file or directory"),
    ("sync_keys now", "unknown argument: now"),
    ("peer_keys", "hart.peer_keys needs a work: salt-run hart.peer_keys WORK"),
    (
        "from_salt_cloud /nowhere",
        "/nowhere has no configuration of salt-cloud: neither cloud.providers nor cloud.profiles",
    ),
    ("version please", "unknown argument: please"),
    ("scale app count=1 min=3", "min and max are bounds and cannot be used with count"),
    ("scale app delta=1 min=3 max=2", "min is 3 and max is 2: min must not be above max"),
    ("create_role rol=app", "hart.create_role needs a role: salt-run hart.create_role ROLE"),
    ("scale role=app cuont=2", "argument:cuont: unknown setting, did you mean count?"),
    ("scale app count=0 szie=big", "argument:szie: unknown setting, did you mean size?"),
    ("replace app szie=big", "argument:szie: unknown setting, did you mean size?"),
    ("show old-3", "old-3: is not known, did you mean old-"),
    ("destroy old1", "old1: is not known, did you mean old-1?"),
    ("plan wbe", "there is no fleet wbe, did you mean web?; the fleets are data, web"),
    ("plan web,dta", "there is no fleet dta, did you mean data?; the fleets are data, web"),
    ("plan app", "there is no fleet app, but app is the role of web; the fleets are data, web"),
    ("plan fleets=web", "unknown argument: fleets; did you mean fleet?"),
    ("plan fleet=", "hart.plan needs a fleet: salt-run hart.plan FLEET"),
    ("plan 1.5", "hart.plan: YAML does not read the fleet as text; put it in quotes"),
    ("apply wbe", "there is no fleet wbe, did you mean web?; the fleets are data, web"),
    ("apply web force=maybe", "force must be True or False"),
    ("apply web waves=0", "waves must be a whole number of at least 1"),
    ("apply web wave=1", "unknown argument: wave; did you mean waves?"),
    ("apply web test=perhaps", "test must be True or False"),
    ("apply web count=3", "unknown argument: count"),
    ("fleets wbe", "there is no fleet wbe, did you mean web?; the fleets are data, web"),
    ("hold", "hart.hold needs a fleet: salt-run hart.hold FLEET"),
    ("hold web data", "hart.hold takes one fleet, not web, data; call it once for each"),
    ("hold web,data", "hart.hold takes one fleet, not web, data; call it once for each"),
    ("hold db", "there is no fleet db, but db is the role of data; the fleets are data, web"),
    ("unhold wbe", "there is no fleet wbe, did you mean web?; the fleets are data, web"),
    ("simulate", "hart.simulate needs a fleet: salt-run hart.simulate FLEET"),
    ("simulate data", "the fleet data does not scale by load: set hart:fleets:data:autoscale"),
    ("explain at_onec", "there is no setting or function at_onec, did you mean"),
]


def typed(line: str) -> dict[str, Any]:
    """Call a function as ``salt-run`` does: Salt reads each word as YAML."""
    name, *words = shlex.split(line)
    function = getattr(runner, name)
    arguments, named = salt.minion.load_args_and_kwargs(function, salt.utils.args.parse_input(words, no_parse=[]), {})
    document: dict[str, Any] = function(*arguments, **named)
    return document


@pytest.fixture
def nodes(place: Place) -> Place:
    place.opts["hart"]["fleets"] = {
        "web": {"role": "app", "count": 2}, "data": {"role": "db", "count": 0},
    }  # fmt: skip
    for minion_id in ("old-1", "old-2"):
        place.start(minion_id)
    return place


def records(place: Place) -> dict[str, Any]:
    store: Store = place.store
    return {minion_id: store.get(minion_id) for minion_id in ("old-1", "old-2")}


@pytest.mark.parametrize(("line", "words"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_gets_one_helpful_sentence_and_changes_nothing(nodes: Place, line: str, words: str) -> None:
    before = (records(nodes), dict(nodes.clouds[CLOUD].account))
    document = typed(line)
    assert document["error"].startswith(words)
    assert (document["retcode"], document["problems"]) == (answer.REFUSED, [document["error"]])
    assert (records(nodes), dict(nodes.clouds[CLOUD].account)) == before


def test_there_are_a_hundred() -> None:
    assert len(dict(MISTAKES)) >= 100


#: keywords that Salt adds: in an orchestration, in a job of a minion, in the schedule, and for a reactor
SALTS_OWN = {
    "__pub_user": "root", "__orchestration_jid__": "20260101120000000000", "__pub_jid": "1", "__pub_fun": "state.sls",
    "__pub_schedule": "daily", "__user__": "Reactor",
}  # fmt: skip
#: what a function needs so that it looks at its other arguments
FIRST: dict[str, list[str]] = {
    "create": ["web-1"], "create_master": ["web-1"], "destroy": ["old-1"], "import_minion": ["web-1"],
    "protect": ["old-1"], "unprotect": ["old-1"], "add_ip": ["old-1"], "remove_ip": ["old-1"], "replace": ["app"],
    "show": ["old-1"], "node": ["old-1"], "node_of": ["192.0.2.1"], "check_seal": ["old-1"], "start": ["old-1"],
    "stop": ["old-1"], "reboot": ["old-1"], "resize": ["old-1", "big"], "set_tags": ["old-1", "a"],
    "extend": ["old-1", "1h"], "create_role": ["app"], "scale": ["app"], "show_role": ["app"], "bake": ["app"],
    "remove_image": ["i-1"], "hold": ["web"], "unhold": ["web"], "simulate": ["1d"], "peer_keys": ["accept"],
}  # fmt: skip
#: the same, by name; ``set_tags`` takes any other keyword as a tag
NAMED: dict[str, dict[str, Any]] = {"scale": {"count": 1}, "set_tags": {"config": "/colour.toml"}}


@pytest.mark.parametrize("function", functions())
def test_keywords_that_salt_adds_are_not_the_users(place: Place, function: str) -> None:
    """An orchestration calls each function with them. A mistake of the user is named, and nothing is begun."""
    data = getattr(runner, function)(
        *FIRST.get(function, []), **{"colour": "red", **NAMED.get(function, {}), **SALTS_OWN}
    )
    assert data["retcode"] == answer.REFUSED
    assert "colour" in data["error"]
    assert "__" not in str(data)


@pytest.mark.parametrize("line", [line for line, _ in MISTAKES if "argument:" in dict(MISTAKES)[line]])
def test_a_suggestion_is_another_word_which_the_function_takes(nodes: Place, line: str) -> None:
    error = typed(line)["error"]
    wrong, _, meant = error.removeprefix("argument:").partition(": unknown setting, did you mean ")
    if meant:
        function = getattr(runner, line.split()[0])
        meant = meant.removesuffix("?")
        assert meant != wrong
        assert meant in [*parameters(function), *Catalogue(schemas()).names("local")]
