"""What documentation writes where a secret goes is none; what only looks a little like it is one."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.redaction import checks, detectors
from spanledger.redaction.text import Budget

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

B62 = "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8xC0bF"
KEPT = [
    "API_KEY=your-api-key", "api_key: 'insert_key_here'", 'apikey = "a-fake-api-key"', "SECRET_KEY=YOUR_SECRET_KEY", "client_secret=ExampleSecret",
    "password: your_password", "token: 'dummyTokenValue'", "?access_token=ACCESS_TOKEN", "api_key=MY_API_KEY", "Authorization: 'Bearer YOUR_TOKEN_HERE'",
    "HF_TOKEN=hf_" + "x" * 34, "key: pplx-" + "x" * 48, "vault token hvs." + "x" * 60, "token = " + "x" * 14 + ".atlasv1." + "x" * 67, "password=AP6xxxxxx",
    "InstrumentationKey=00000000-0000-0000-0000-000000000000", "curl -u username:token x", "curl --user me:[PASSWORD] x", "curl -u 'me:your-password' x",
    "see rhf_SponsoredProductsRemoteSearchEXPSubsK2ClickPagination", "deployment_key = Qwen2-VL-72B-Instruct-AWQ", "PASS: test_foo2 pass=10 pin: 4",
    "the bearer: nobody in particular",
]  # fmt: skip
FOUND = [
    ("password='{}'", "wish-you-were-here", "PASSWORD"),
    ("password='{}'", "your-x9-Kf", "PASSWORD"),
    ("password={}", "xxHunter2xx", "PASSWORD"),
    ("curl -u {} x", "me:0your-password9", "URL_CREDS"),
    ("pass: {}", "1$d0P3!", "PASSWORD"),
    ("Bearer: {}", B62, "AUTHORIZATION"),
    ("scaleway_key={}", "a1b2c3d4-e5f6-g7h8-i9j0-k1l2m3n4o5p6", "API_KEY"),
    ("X-Figma-Token: {}", "1394-0ca7a5be-8e22-40ee-8c40-778d41ab2313", "API_KEY"),
    ("pagerduty_key = '{}'", "u+Lyhd2_N2MCy+Zo" + "H-S5", "API_KEY"),
    ("nasdaq_key = {}", "yhTFulkELh3-jC6" + "oudRX", "API_KEY"),
    ('variable "okta_api_token" {\n  default = "{}"\n}', "004EWTpRQT_HJtG_nL-agxacgz" + "YHjxPcF99kJsFzWg", "API_KEY"),
    ("os.environ.get('DJANGO_SECRET_KEY','{}')", "wwf*2#86t64!fgh6yav$" + "aoeuo@u2o@fy&*gg76q!", "API_KEY"),
    ('fbApiKey:            "{}",', "171e84fd57f430fc59af" + "a8fad3dbda2a", "API_KEY"),
    ("see {} x", "fm2_" + B62 + "+/" + B62 + "==", "API_KEY"),
    ('"params": ["{}"]', "8-" + B62 + B62, "API_KEY"),
    ("sid {} x", "00D" + "E0X0A0M0PeLE!" + B62 + "." + B62, "API_KEY"),
    ("see {} x", "vendor_" + B62, "API_KEY"),
]


def find(engine: Engine, text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label) for span in detectors.find(engine, text, Budget(10_000))]


@pytest.mark.parametrize("text", KEPT)
def test_stand_ins_are_left_alone(engine: Engine, text: str) -> None:
    assert find(engine, text) == []


@pytest.mark.parametrize(("frame", "value", "label"), FOUND)
def test_secrets_are_found(engine: Engine, frame: str, value: str, label: str) -> None:
    assert find(engine, frame.replace("{}", value)) == [(value, label)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(string.ascii_letters + string.digits, min_size=24, max_size=64).filter(lambda key: len(set(key)) >= 12))
def test_nothing_random_is_a_stand_in(key: str) -> None:
    assert not checks.is_stand_in(key + "7")
