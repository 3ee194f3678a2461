"""Amazon EC2 for the tests that run over all clouds."""

from __future__ import annotations

from tests.drivers.ec2.emulator import answers
from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.state import Settings
from tests.emulation.backend import Backend
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end.clouds import ALL_WAYS, NEVER, Call, Case, Cloud, hits


def _call(action: str) -> Call:
    """Return a call of this action; all calls go to one path, and the body names the action."""
    return Call("POST", r"^/$", rf"Action={action}&")


CREATE, LOOK, DESTROY = _call("RunInstances"), _call("DescribeInstances"), _call("TerminateInstances")
MAKE_GROUP, ALLOW = _call("CreateSecurityGroup"), _call("AuthorizeSecurityGroupIngress")
SETTLE, REMOVE_GROUP = _call("ModifyInstanceAttribute"), _call("DeleteSecurityGroup")
REGIONS = len(catalogue.OPEN_REGIONS)


def _open(backend: Backend) -> Emulator:
    """Open a cloud whose instances run at once."""
    from tests.drivers.ec2.emulator.cloud import Ec2  # imports moto, which is slow

    return Ec2(backend, settings=Settings(active_after=0.0))


def _says(call: Call, status: int, code: str, message: str, **more: object) -> Fault:
    return call.fault(status=status, answer=answers.error(code, message), **more)


def _throttled(call: Call, **more: object) -> Fault:
    """Return EC2's own way to throttle: 503, without a header that says how long to wait."""
    return _says(call, 503, "RequestLimitExceeded", "Request limit exceeded.", **more)


FULL = "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested (eu-west-1a)."
DENIED = "You are not authorized to perform this operation. Encoded authorization failure message: qwertz"
LOST_VOLUME = "Client.VolumeLimitExceeded: Volume limit exceeded"

CASES = (
    # Every call can be repeated: with the same token, two create calls make one instance.
    *hits("create", CREATE, ways=ALL_WAYS),
    *hits("make group", MAKE_GROUP, ways=ALL_WAYS),
    *hits("open group", ALLOW),
    *hits("settle", SETTLE),
    *hits("remove group", REMOVE_GROUP),
    Case("create: throttled as EC2 does it", (_throttled(CREATE, times=2),)),
    Case("create: throttled for good", (_throttled(CREATE, times=5),), "RequestLimitExceeded"),
    Case("create: 200 with a gateway's page", (CREATE.fault(status=200, answer="<html>502</html>", when="after"),)),
    Case("create: answer lost, and listed late", (CREATE.lost(), MachineFault(hidden_lists=REGIONS + 1))),
    Case("create: answers lost for good", (CREATE.lost(times=5),), "the connection to Amazon EC2"),
    Case("create: no capacity", (_says(CREATE, 500, "InsufficientInstanceCapacity", FULL, times=5),),
         "sufficient t3.micro capacity"),
    Case("create: no capacity for a moment", (_says(CREATE, 500, "InsufficientInstanceCapacity", FULL),)),
    Case("create: not permitted", (_says(CREATE, 403, "UnauthorizedOperation", DENIED),),
         "You are not authorized to perform this operation. (UnauthorizedOperation RunInstances)"),
    Case("create: quota", (), "VcpuLimitExceeded", switches={"vcpu_limit": 1}),
    Case("a new group is not known yet", (), switches={"groups_hidden_for": 1.5}),
    Case("pending, then terminated with a reason", (MachineFault(given_up=LOST_VOLUME),), LOST_VOLUME),
    Case("not known when it is undone", (MachineFault(hidden_for=5),), "not running within 2 s", **NEVER),
    Case("settle: refused", (SETTLE.fault(status=400),), "ModifyInstanceAttribute"),
    Case("pending for ever, will not end", (MachineFault(never_active=True, ignore_delete=2),), "not running",
         **NEVER),
    Case("remove group: DependencyViolation", (
        _says(REMOVE_GROUP, 400, "DependencyViolation", "resource sg-1 has a dependent object", times=2),)),
    Case("remove group: an ending instance holds it", (MachineFault(never_active=True),), "not running within 2 s",
         switches={"gone_after": 3.0}, **NEVER),
    Case("plan: not permitted in one region", (), "the provider's setting regions",
         switches={"denied_regions": ("ap-southeast-2",)}),
    Case("plan: a wrong secret", (), "AuthFailure", account={"aws_secret_access_key": "wrong"}),
    Case("poll: second page 500", (LOOK.fault(status=500, skip=1),), count=2, switches={"page_cap": 1}),
)  # fmt: skip

CLOUD = Cloud(
    name="ec2",
    open=_open,
    datasource="ec2",
    node={"region": "eu-west-1", "connect_from": "127.0.0.1"},
    create=CREATE, look=LOOK, destroy=DESTROY,
    changing=Call("POST", r"^/$", r"Action=(?!Describe|Get)"),
    refusal={"status": 400, "answer": answers.error("InvalidParameterValue", "Nothing here is right."),
             "message": "Nothing here is right. (InvalidParameterValue RunInstances)"},
    restored="true", fetches_again=True,
    cases=CASES,
    destroying=(
        *hits("destroy", DESTROY),
        Case("destroy: not in a state for it", (
            _says(DESTROY, 400, "IncorrectInstanceState", "The instance is not in a state."),)),
    ),
)  # fmt: skip
