"""Keys in the forms that vendors have published; and names, ids and words that begin like them."""

from __future__ import annotations

import random
import re
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.redaction.redactor import Redactor

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

SMALL, DIGITS = "bcdfghjkmnpqrstvwxz", "123456789"
KINDS = {"m": (SMALL, DIGITS, SMALL.upper()), "a": (SMALL, DIGITS), "c": (SMALL.upper(), DIGITS), "h": ("abcdef", DIGITS), "n": (DIGITS,)}
FORMS = """
    p8e-{a32} 2/{n16}/{n16}:{h32} 1/{n16}:{h32} sc_{a12}.{a5}.acc_{a12}.{m44} 4b1d{m38} db-{m29} dnkey-{a26}-{a52} sl.B{m135} pat.{m22}.{h24}.{m20}
    pat-na1-{u} ico-{m32} s-s4t2ud-{h64} {m6}_{m29}_mmk API-{c26} sha256~{m43} access-sandbox-{u} tk-us-{m48} xkeysib-{h64}-{m16} sm_pat_{m16}
    squ_{h40} sqp_{h40} t1.{m40}.{m86} YC{m38} tgp_v1_{m43} ak-{m22} as-{m22} rnd_{m28} napi_{a64} re_{m8}_{m24} wandb_v1_{m70} {h32}-{h8}-{h8}
    cmVmdGtu{m56} v2.local.{m80} {h32}.{m16} nk-{m43} sk_{m43} bce-v3/ALTAK-{m21}/{h40} key_{h64} SCW{c17} IQoJb3JpZ2lu{m200} v1.0-{h24}-{h146}
    ddp_{m36} jca_{m36} cio{m32} slk_{h64} PMAT-{c26} waka_{u} rzp_live_{m14} live_{m40} test_{h35} 6Ld{m37} eyJrIjoi{m80} 12|{m40} {n15}|{m27}
    pk-lf-{u} ls__{h32} n8n_api_{m40} vercel_blob_rw_{m16}_{m30} AQ.Ab8{m50} amzn.mws.{u}
    tfp_{m44}_{m14} glc_eyJ{m40}+{m30}/{m30}== sntrys_eyJ{m60}/{m20}==_{m20}+{m23} xoxd-{m40}/{m40}+{m40}= IQoJb3JpZ2lu{m30}/{m40}+{m200}=
    hawk.{m20}.{m20} AKLT{m60} AAAAAAAAAAAAAAAAAAAAA{m80}
""".split()  # noqa: SIM905
KEPT = [
    "rookTable = 0023452Lllk2KqjLBvaxANWEgTd7bqjsxjo8aZj0wd", "sha256~XXXXXXXXXX_PUT_YOUR_TOKEN_HERE_XXXXXXXXXXXX", "sha256:" + "4f9d0c1b7e6a2538" * 4,
    "live_migration_of_all_the_databases_and_tables", "test_keys_of_the_conventions_survive_when_nothing_is_set", "key_performance_indicators_of_the_last_quarter",
    "sk_learn_ensemble_random_forest_classifier_with_warm_start", "re_compile_the_whole_of_the_regular_expression", "as-soon-as-possible-and-no-later",
    "db-migrations-of-the-year-2024-and-later", "API-documentation-for-everybody", "| 12|internationalization-of-everything |", "pat.matches.everything",
    "v1.0-4f9d0c1b7e6a25384f9d0c1b", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "1-5759e988-bd862e3fe1be46a994272793", "chatcmpl-9kT2vQx0LwPz7RmYb3Hs",
    "6f1ed002ab5595859014ebf0951522d9.tar", "cache-key-" + "4f9d0c1b7e6a2538" * 2,
]  # fmt: skip


def made(form: str, chance: random.Random) -> str:
    """``{m20}``: 20 letters of both cases and digits; a: small letters and digits, c: capitals and digits, h: hexadecimal, n: digits."""

    def signs(found: re.Match[str]) -> str:
        if found[1] == "u":
            return str(uuid.UUID(int=chance.getrandbits(128)))
        kinds = KINDS[found[1]]
        return "".join(chance.choice(kinds[index % len(kinds)]) for index in range(int(found[2])))

    return re.sub(r"\{([a-z])([0-9]*)\}", signs, form)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_nothing_of_a_key_is_left(engine: Engine, form: str, seed: int) -> None:
    assert Redactor(engine=engine).text(f"see {made(form, random.Random(seed))} now").replace("bce-v3/", "") == "see [API_KEY] now"


@pytest.mark.parametrize("text", KEPT)
def test_what_only_begins_like_one_stays(engine: Engine, text: str) -> None:
    assert Redactor(engine=engine).text(text) == text
