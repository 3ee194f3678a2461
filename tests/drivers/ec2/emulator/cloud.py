"""
An emulator of Amazon EC2: moto in this process behind our own server, whose instances are machines of a back end.

Each emulator is an account of its own in moto, so several can run side by side. The signature of every request is
checked, and the request is checked against botocore's models; ``region.py`` and ``launch.py`` add what moto lacks or
does not check. This module imports moto, which takes two seconds: import it where a cloud is opened.
"""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import moto.core.responses
import moto.kms.models
from moto.core.request import Request as MotoRequest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.iam.models import iam_backends

from tests.drivers.ec2.emulator import answers, pricing, schema, signature
from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.answers import Refusal
from tests.drivers.ec2.emulator.launch import Launching, check_tags
from tests.drivers.ec2.emulator.state import KEY, REGION, SECRET, Settings, World, plain
from tests.emulation.backend import Backend, NoMachines
from tests.emulation.emulator import Emulator
from tests.emulation.http import Answer, Request

#: the namespace as moto writes it
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15"
#: parameters that cannot be used with a page size
IDS = re.compile(r"(Instance|Group|Subnet|Image|Snapshot)Id\.\d+|InstanceType\.\d+")
INSTANCE_ID = re.compile(r"i-[0-9a-f]{8}([0-9a-f]{9})?")
#: lists that have pages here
PAGED = ("DescribeInstances", "DescribeImages", "DescribeSnapshots")
#: account numbers
_accounts = itertools.count(200_000_000_001)
#: moto's state belongs to the process, and moto does not promise that several threads can use it
_moto = threading.RLock()
# Moto looks at each method of its class again for each call, and makes an RSA key for each account's volumes.
for _module, _name in ((moto.core.responses, "method_names_from_class"), (moto.kms.models, "generate_private_key")):
    setattr(_module, _name, functools.cache(getattr(_module, _name)))


class Ec2(Emulator):
    """One emulated account; see the module."""

    def __init__(self, backend: Backend | None = None, *, settings: Settings | None = None, **server: Any) -> None:
        super().__init__(backend or NoMachines(), **server)
        self.settings = settings or Settings()
        self._first_settings = dict(vars(self.settings))
        #: all valid access keys, with their secrets
        self.keys = {KEY: SECRET}
        self._number = str(next(_accounts))
        self.world = World(self._number, self.settings, self.machines, self.faults, self.clock)
        self._begin()

    def _begin(self) -> None:
        with _moto:
            ec2_backends.pop(self._number, None)
            for name in catalogue.OPEN_REGIONS:
                ec2_backends[self._number][name] = Launching(name, self.world)

    def region(self, name: str = REGION) -> Launching:
        """Return a region in its present state."""
        with self.lock, _moto:
            found = ec2_backends[self._number][name]
            assert isinstance(found, Launching)
            found.tick()
            return found

    def _regions(self) -> list[Launching]:
        return [self.region(name) for name in catalogue.OPEN_REGIONS]

    # what every emulator has

    @property
    def endpoint(self) -> str:
        """Return the address of all services of all regions."""
        return self.base_url

    def account(self) -> dict[str, Any]:
        """Return the settings of the account: keys and endpoint."""
        return {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "endpoint": self.endpoint}

    def left(self) -> dict[str, list[str]]:
        """Return what is left in all regions."""
        found: dict[str, list[str]] = {}
        for region in self._regions():
            for kind, names in region.left().items():
                found[kind] = sorted([*found.get(kind, []), *names])
        return found

    def made(self) -> int:
        """Return the number of instances ever created."""
        return self.world.made

    def user_data(self) -> dict[str, str]:
        """Return the user-data by instance name, as cloud-init would run it."""
        living = [life for life in self.world.lives.values() if life.ended_at is None]
        return {life.name: plain(life.user_data).decode() for life in living}

    def add_snapshot(self, name: str, *, region: str = REGION, architecture: str = "x86_64") -> str:
        """Add an image of the account and return its id."""
        ami = f"ami-{len(self.world.snapshots) + 1:017x}"
        self.world.snapshots[ami] = name
        with self.lock, _moto:
            self.region(region).add_snapshot(ami, name, architecture)
        return ami

    def add_profile(self, name: str) -> None:
        """Add an instance profile."""
        with self.lock, _moto:
            self.world.profiles.add(name)
            iam_backends[self._number]["aws"].create_instance_profile(name, "/", [], [])

    def interrupt(self, instance_id: str, action: str = "terminate") -> None:
        """Announce that a spot instance is taken away in two minutes."""
        life = self.world.lives[instance_id]
        life.marked_at, life.action = self.clock(), action

    def forget(self) -> None:
        """Remove everything, including instances that refuse to end."""
        self.faults.clear()
        with self.lock:
            vars(self.settings).update(self._first_settings)
            for life in self.world.lives.values():
                if life.ended_at is None:
                    self.machines.kill(life.instance_id, life.addresses)
            for disk in {made.disk for made in self.world.images.values() if not made.is_gone}:
                self.machines.forget(disk)
            fresh = World(self._number, self.settings, self.machines, self.faults, self.clock, made=self.world.made)
            self.world = fresh
            self._begin()

    def switches(self) -> Settings:
        """Return the switches that the admin endpoint can set."""
        return self.settings

    def failure(self, request: Request, status: int) -> Answer:
        """Return the error in the form of the service that was called."""
        return answers.failure(_service(request), status)

    def facts(self) -> Mapping[str, Any]:
        """Return the account as JSON."""
        return {
            "instances": [
                {"id": life.instance_id, "name": life.name, "region": life.region, "ended": life.ended_at}
                for life in self.world.lives.values()
            ],
            "left": self.left(),
            **self.troubles(),
        }

    # one call

    def handle(self, request: Request) -> Answer:
        """Check signature, permission and model, and then call moto."""
        try:
            scope = signature.check(request, self.keys)
            known = {"ec2": self._ec2, "sts": self._sts, "pricing": self._pricing, "servicequotas": self._quotas}
            return known.get(scope.service, _no_service)(request, scope.region)
        except Refusal as no:
            return answers.refusal(_service(request), no)

    def _pricing(self, request: Request, region: str) -> Answer:
        return pricing.answer(request, region, self.settings, self._number)

    def _quotas(self, request: Request, region: str) -> Answer:
        """Return the quota of vCPUs."""
        if "servicequotas:GetServiceQuota" in self.settings.denied:
            who = f"User: arn:aws:iam::{self._number}:user/hart"
            raise Refusal("AccessDeniedException", f"{who} is not authorized to perform: servicequotas:GetServiceQuota")
        asked = request.json()
        return Answer(200, {"Quota": {**asked, "Value": float(self.settings.vcpu_limit)}})

    def _sts(self, request: Request, region: str) -> Answer:
        if form_of(request).get("Action") != "GetCallerIdentity":
            raise Refusal("InvalidAction", "There is no such call here.")
        arn = f"arn:aws:iam::{self._number}:user/hart"
        who = f"<Arn>{arn}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{self._number}</Account>"
        result = f"<GetCallerIdentityResult>{who}</GetCallerIdentityResult>"
        return Answer(200, f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>".encode())

    def _ec2(self, request: Request, region: str) -> Answer:
        form = form_of(request)
        action = form.get("Action", "")
        if region not in catalogue.OPEN_REGIONS:
            raise Refusal(*answers.CODES[401], 401)
        if lacking := self._lacking(action, form, region):
            raise Refusal(
                "UnauthorizedOperation", f"You are not authorized to perform this operation. User: arn:aws:iam::"
                f"{self._number}:user/hart is not authorized to perform: {lacking} because no identity-based policy "
                f"allows the {lacking} action. Encoded authorization failure message: {'x' * 200}", 403
            )  # fmt: skip
        if problems := schema.request(action, form):
            raise Refusal("InvalidParameterValue" if schema.known(action) else "InvalidAction", "; ".join(problems))
        self._check_form(form)
        return self._ask_moto(request, region, action, self._with_page(action, form))

    def _lacking(self, action: str, form: Mapping[str, str], region: str) -> str:
        """Return the first permission of a call that the credentials lack, or an empty text."""
        needed = [f"ec2:{action}"]
        if any(name.startswith("TagSpecification") for name in form):
            needed.append("ec2:CreateTags")
        if any(name.startswith("IamInstanceProfile") for name in form):
            needed.append("iam:PassRole")
        denied = needed[:1] if region in self.settings.denied_regions else self.settings.denied
        return next((right for right in needed if right in denied), "")

    def _check_form(self, form: Mapping[str, str]) -> None:
        """Refuse what moto accepts and EC2 does not."""
        for name, value in form.items():
            if re.fullmatch(r"InstanceId(\.\d+)?", name) and not INSTANCE_ID.fullmatch(value):
                raise Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{value}"')
        if "MaxResults" in form and any(IDS.fullmatch(name) for name in form):
            raise Refusal("InvalidParameterCombination", "MaxResults cannot be used together with ids.")

    def _with_page(self, action: str, form: dict[str, str]) -> dict[str, str]:
        cap = self.settings.page_cap
        if cap is None or action not in PAGED or any(IDS.fullmatch(name) for name in form):
            return form
        return {**form, "MaxResults": str(min(cap, int(form.get("MaxResults", cap))))}

    def _ask_moto(self, request: Request, name: str, action: str, form: dict[str, str]) -> Answer:
        with _moto:
            region = self.region(name)
            region.form = form
            if action != "RunInstances":
                check_tags(schema.parsed(action, form))
            headers = {**request.headers, "x-moto-account-id": self._number}
            headers.pop("content-length", None)
            headers["content-type"] = "application/x-www-form-urlencoded"
            asked = MotoRequest.from_primitives("POST", f"{request.base_url}/", headers, urlencoded(form))
            status, _, body = _Responses.dispatch(asked)
            if action == "DescribeInstances":
                region.looked()
        # EC2's namespace ends with a slash, and its errors have no namespace.
        namespace = f'xmlns="{NAMESPACE}/"'.encode() if status == 200 else b""
        return Answer(int(status), _bytes(body).replace(f'xmlns="{NAMESPACE}"'.encode(), namespace))

    def objections(self, request: Request, answer: Answer | None) -> list[str]:
        """Return the objections of botocore's models."""
        if _service(request) != "ec2":
            return []
        form = form_of(request)
        action = form.get("Action", "")
        problems = schema.request(action, form)
        if answer is None or answer.status != 200 or not self.settings.check_answers:
            return problems
        return [*problems, *(f"answer: {text}" for text in schema.answer(action, answer.body))]


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _service(request: Request) -> str:
    scope = signature.scope_of(request)
    return scope.service if scope else "ec2"


def _no_service(request: Request, region: str) -> Answer:
    raise Refusal("InvalidAction", "There is no such service here.")


class _Responses(EC2Response):
    """Moto's answers, corrected where they differ from EC2's."""

    #: without the transformers of RunInstances, which report every instance as pending when a token is used again
    RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        path: change
        for path, change in EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if not path.startswith("RunInstances.")
    }

    def run_instances(self) -> ActionResult:
        """Run instances, with EC2's own error for an instance profile that does not exist."""
        profile = self._get_param("IamInstanceProfile.Name") or self._get_param("IamInstanceProfile.Arn") or ""
        name = profile.rpartition("/")[2]
        if name and name not in self.ec2_backend.world.profiles:
            raise EC2ClientError(
                "InvalidParameterValue", f"Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid "
                "IAM Instance Profile name"
            )  # fmt: skip
        return super().run_instances()

    def describe_images(self) -> ActionResult:
        """List images in pages, which moto does not know."""
        return self._page(super().describe_images(), "Images")

    def describe_snapshots(self) -> ActionResult:
        """List snapshots in pages, which moto does not know."""
        return self._page(super().describe_snapshots(), "Snapshots")

    def _page(self, listed: ActionResult, field: str) -> ActionResult:
        first, length = int(self._get_param("NextToken") or 0), int(self._get_param("MaxResults") or 1000)
        result: Any = listed.result
        found = list(result[field])
        more = {"NextToken": str(first + length)} if first + length < len(found) else {}
        return ActionResult({field: found[first : first + length], **more})

    @staticmethod
    def _validate_block_device_mapping(device_mapping: dict[str, Any]) -> None:
        """Accept a root volume without size and snapshot; ``launch.py`` checks the rest."""

    def terminate_instances(self) -> ActionResult:
        """Terminate instances and report the state of each, which can differ from the requested one."""
        self.error_on_dryrun()
        ended = self.ec2_backend.terminate_instances(self._get_param("InstanceIds", []))
        return ActionResult(
            {
                "TerminatingInstances": [
                    {"InstanceId": instance.id, "CurrentState": instance.instance_state, "PreviousState": before}
                    for instance, before in ended
                ]
            }
        )

    def describe_instance_credit_specifications(self) -> ActionResult:
        """Return the credits that were requested."""
        found = self.ec2_backend.describe_instance_credit_specifications(self._get_param("InstanceIds", []))
        credits = self.ec2_backend.world.credits
        return ActionResult(
            {"InstanceCreditSpecifications": [{"InstanceId": it.id, "CpuCredits": credits[it.id]} for it in found]}
        )


def form_of(request: Request) -> dict[str, str]:
    """Return the parameters, from the body, or with GET from the query."""
    text = request.body.decode() if request.method == "POST" else request.raw_query
    return dict(parse_qsl(text, keep_blank_values=True))


def urlencoded(form: Mapping[str, str]) -> bytes:
    """Return the parameters as a body."""
    return urlencode(form).encode()
