"""What is found in a text, and what is left alone, with both engines."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.redaction import detectors
from spanledger.redaction.text import Budget, Digits

if TYPE_CHECKING:
    from spanledger.redaction.engine import Engine

AT = "@"
HEX = "0123456789abcdef"
B62 = "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8xC0bF"
CARD = "4111 1111" + " 1111 1111"
SSN = "536-90" + "-4399"
IBAN = "DE89 3704 0044" + " 0532 0130 00"
DASHES = "-----"
PEM = f"{DASHES}BEGIN RSA PRIVATE KEY{DASHES}\nMIIEow{B62}\n{B62}\n{DASHES}END RSA PRIVATE KEY{DASHES}"
JWT = "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0In0." + B62
UNSIGNED = "ey" + "JhbGciOiJub25lIn0." + "ey" + "JzdWIiOiIxMjM0NTY3In0."
TWICE = base64.b64encode(PEM.encode()).decode()

FOUND = [
    ("mail {} now", "jane.roe+x" + AT + "mail.example.co.uk", "EMAIL"),
    ("<{}>", "JANE" + AT + "EXAMPLE.ORG", "EMAIL"),
    ("email={}&x=1", "jane%40example.com", "EMAIL"),
    ("mail {} now", "jane&#64;example.com", "EMAIL"),
    ("mail {} now", "jane at example dot com", "EMAIL"),
    ("mail {}", "jane" + AT + "soci\u00e9t\u00e9.fr", "EMAIL"),
    ("mail {}", "jane\uff20example.com", "EMAIL"),
    ("mail {} now", "ja\u200bne" + AT + "exam\u00adple.com", "EMAIL"),
    ("pay {} now", "jane.roe" + AT + "oksbi", "EMAIL"),
    ("mail {}", "juan" + AT + "empresa.com.py", "EMAIL"),
    ("mail {}", "ja\u202ane" + AT + "exam\U000e0041ple.com", "EMAIL"),
    ("mail {}", "".join(chr(0x1D41A + ord(sign) - 97) if sign.islower() else sign for sign in "jane" + AT + "example.com"), "EMAIL"),
    ("mail {}", "jane\ufe6bexample.com", "EMAIL"),
    ("<Password>{}</Password>", "hunter2xyz9", "PASSWORD"),
    ("<wsse:Password Type='x'>\n {}\n </wsse:Password>", "correct horse", "PASSWORD"),
    ("&lt;password&gt;{}&lt;/password&gt;", "hunter2", "PASSWORD"),
    ("<apiKey>{}</apiKey> <id>7</id>", "9f8e7d6c5b4a3928", "API_KEY"),
    ("Authorization: Digest {}\nHost: a", 'username="bob", response="6629fae49393a05397450978507c4ef1"', "AUTHORIZATION"),
    ("call {} now", "+44 20 7946 0958", "PHONE"),
    ("call {} now", "+1 (415) 555-0132", "PHONE"),
    ("office {}", "(415) 555-0132 ext. 12", "PHONE"),
    ("x {} y", "415-555-0132", "PHONE"),
    ("x {} y", "415.555.0132x99", "PHONE"),
    ("x {} y", "089/12345678", "PHONE"),
    ("x {}, y", "01 23 45 67 89", "PHONE"),
    ("phone: {}", "4155550132", "PHONE"),
    ("my mobile is {}.", "612 34 56 78", "PHONE"),
    ("\u7535\u8bdd\uff1a{}\u3002", "13812345678", "PHONE"),
    ("x {} y", "\uff14\uff11\uff15-555-0132", "PHONE"),
    ("x {} y", "\u0664\u0661\u0665-\u0665\u0665\u0665-\u0660\u0661\u0663\u0662", "PHONE"),
    ("phone #{}", "415-555-0132", "PHONE"),
    ("My number is {}", "4155550132", "PHONE"),
    ("her number: {}.", "415 555 0132", "PHONE"),
    ("I can be reached at {}", "4155550132", "PHONE"),
    ("mob. {}", "9876543210", "PHONE"),
    ("https://wa.me/{}?text=hi", "14155550132", "PHONE"),
    ("T\u00e9l. {}", "06.12.34.56.78", "PHONE"),
    ("Te\u0301l\u00a0: {}", "06.12.34.56.78", "PHONE"),
    ("called {} yesterday", "4155550132", "PHONE"),
    ("**{}**", "+1 415 555 0132", "PHONE"),
    ("__{}__", "+1 415 555 0132", "PHONE"),
    ("?phone={}&x=1", "%28415%29+555-0132", "PHONE"),
    ("?to={}&x=1", "%2B1+415+555+0132", "PHONE"),
    ("x {} y", "415\u2013555\u20130132", "PHONE"),
    ("pay {} now", CARD, "CREDIT_CARD"),
    ("pay {} now", CARD.replace(" ", ""), "CREDIT_CARD"),
    ("pay {} now", CARD.replace(" ", "-"), "CREDIT_CARD"),
    ("pay {} now", CARD.replace(" ", "\u00a0"), "CREDIT_CARD"),
    ("pay {} now", "3714 496353" + " 98431", "CREDIT_CARD"),
    ("my card {}", "4222222" + "222222", "CREDIT_CARD"),
    ("Card #{}", CARD.replace(" ", ""), "CREDIT_CARD"),
    ("card={}&x=1", CARD.replace(" ", "+"), "CREDIT_CARD"),
    ("is {}.", SSN, "US_SSN"),
    ("SSN #{}", SSN, "US_SSN"),
    ("SSN#{}", SSN, "US_SSN"),
    ("my number, _{}_, is", SSN, "US_SSN"),
    ("the {} of Jane", "XXX-XX-4399", "US_SSN"),
    ("ssn {}", "***-**-4399", "US_SSN"),
    ("{} is my ssn", SSN.replace("-", ""), "US_SSN"),
    ("ssn {}", SSN.replace("-", " "), "US_SSN"),
    ("social security number {}", SSN.replace("-", ""), "US_SSN"),
    ("to {} please", IBAN, "IBAN"),
    ("to {}.", IBAN.replace(" ", ""), "IBAN"),
    ("to {}.", IBAN.replace(" ", "").lower(), "IBAN"),
    ("to {}.", "gb29 nwbk 6016 1331" + " 9268 19", "IBAN"),
    ("from {} to", "203.0.113.7", "IP"),
    ("http://{}:8080/", "203.0.113.7", "IP"),
    ("net {}", "10.0.0.0/8", "IP"),
    ("from {}.", "2001:db8::8a2e:370:7334", "IP"),
    ("my ip {}", "::1", "IP"),
    ("my ip, as far as anybody here can tell, is {}", "12::1", "IP"),
    ("net {}.", "2001:db8::/32", "IP"),
    ("mail {}", "jose\u0301" + AT + "socie\u0301te\u0301.fr", "EMAIL"),
    ("mail {}", "jane%2540example.com", "EMAIL"),
    ("\u0e42\u0e17\u0e23{}\u0e04\u0e23\u0e31\u0e1a", "+66 81 234 5678", "PHONE"),
    ("\u0eaa{}\u0e81", CARD, "CREDIT_CARD"),
    ("\u1780{}\u1780", "415-555-0132", "PHONE"),
    ("\u1000{}\u1000", SSN, "US_SSN"),
    ("dev {} up", "0a:23:f5:67:89:ac", "MAC"),
    ("dev {} up", "0A-23-F5-67-89-AC", "MAC"),
    ("t={}", JWT, "JWT"),
    ("t={} x", UNSIGNED, "JWT"),
    ("    client-key-data: {}\n", TWICE, "PRIVATE_KEY"),
    ("see {} x", base64.b64encode(PEM.replace("RSA ", "ENCRYPTED ").encode()).decode(), "PRIVATE_KEY"),
    ("key\n{}\nend", PEM, "PRIVATE_KEY"),
    ("x {}", PEM[:60], "PRIVATE_KEY"),
    ("use {} here", "s" + "k-proj-" + B62, "API_KEY"),
    ("use {} here", "s" + "k-ant-api03-" + B62, "API_KEY"),
    ("use {} here", "AK" + "IAIOSFODNN7EXAMPLE", "API_KEY"),
    ("use {} here", "AI" + "zaSy" + B62 + "1", "API_KEY"),
    ("use {} here", "gh" + "p_" + B62 + "abcd", "API_KEY"),
    ("use {} here", "git" + "hub_pat_11" + B62, "API_KEY"),
    ("use {} here", "gl" + "pat-" + B62[:20], "API_KEY"),
    ("use {} here", "xo" + "xb-123456789012-" + B62, "API_KEY"),
    ("use {} here", "s" + "k_live_" + B62, "API_KEY"),
    ("use {} here", "h" + "f_" + B62, "API_KEY"),
    ("use {} here", "S" + "G." + B62[:22] + "." + B62 + B62[:11], "API_KEY"),
    ("use {} here", "S" + "K" + HEX * 2, "API_KEY"),
    ("use {} here", "np" + "m_" + B62 + "abcd", "API_KEY"),
    ("use {} here", "dap" + "i" + HEX * 2, "API_KEY"),
    ("use {} here", "hv" + "s." + B62, "API_KEY"),
    ("use {} here", "1/" + "/0" + B62, "API_KEY"),
    ("use {} here", "gl" + "pat-" + B62[:20] + ".01.0a1b2c3d4", "API_KEY"),
    ("use {} here", "pat" + B62[:14] + "." + HEX * 4, "API_KEY"),
    ("use {} here", "N" + B62[:23] + ".aB3dE5." + B62[:28], "API_KEY"),
    ("use {} here", "vault-secret-123e4567-e89b-12d3-a456-426614174000", "API_KEY"),
    ("use {} here", "aB3" + "8Q~" + B62, "SECRET"),
    ("t={}", "ey" + "JhbGciOiJIUzI1NiJ9.." + B62, "JWT"),
    ("password={}", "hunter2!", "PASSWORD"),
    ("password: {}\n", "correcthorse", "PASSWORD"),
    ("PASSWORD='{}'", "open sesame", "PASSWORD"),
    ('{{"dbPassword": "{}", ', "x9!kkq", "PASSWORD"),
    ("--password {}", "s3cr3t!x", "PASSWORD"),
    ("with password {}.", "8nZ!kV4%beta", "PASSWORD"),
    ("\x1b[1mpassword=\x1b[31m{}, \x1b[0m", "hunter2", "PASSWORD"),
    (r"password=\x1b[31m{}, \x1b[0m", "hunter2", "PASSWORD"),
    ("?sv=2022-11-02&sig={}&se=x", "aB3dE5gH7jK9mN1pQ2sT4v%2FW6yZ8xC0bFaB3d%2BE5gH7%3D", "API_KEY"),
    ("?Expires=17&Signature={}&x=1", B62, "API_KEY"),
    ("csrf={}&x=1", B62, "API_KEY"),
    ("X-XSRF: {}\n", B62, "API_KEY"),
    ("dandelion key {} is mine", HEX * 2, "API_KEY"),
    ("X-Hub-Signature-256: {}", HEX * 4, "API_KEY"),
    ("AWS_SECRET_ACCESS_KEY={}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY", "API_KEY"),
    ("?api_key={}&x", HEX * 2, "API_KEY"),
    ("?token={}&x", B62, "API_KEY"),
    ("X-Api-Key: {}", HEX, "API_KEY"),
    ("{{'access_token': '{}'}}", B62, "API_KEY"),
    ("Authorization: Bearer {}", B62, "AUTHORIZATION"),
    ("Authorization: Basic {}", "dXNlcjpwYXNzd29yZA==", "AUTHORIZATION"),
    ("sent bearer {} twice", B62, "AUTHORIZATION"),
    ("Cookie: {}\n", "sid=abc123; theme=dark", "COOKIE"),
    ("curl -u {} https://x.io", "jane:hunter2", "URL_CREDS"),
    ("postgres://{}@db/x", "jane:hunter2", "URL_CREDS"),
    ("postgres://{}@db/x", "jane:p%40ss%2Fw%23", "URL_CREDS"),
    ("postgres://{}@db/x", "jane:p@ss#w", "URL_CREDS"),
    ("postgres://{}@db/x", "jane:pa/ss?w", "URL_CREDS"),
    ("postgres://{}@db:5432/x?mail=no", "jane:pass", "URL_CREDS"),
    ("git+https://{}@github.com/a/b.git", HEX + ":x-oauth-basic", "URL_CREDS"),
    ("https://{}@api.example.com/v1", HEX + ":", "URL_CREDS"),
    ("https://{}@github.com/a/b.git", HEX, "URL_CREDS"),
    ("hash {}", "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", "PASSWORD"),
    ("post {} ok", "https://hooks.sl" + "ack.com/services/T00000000/B00000000/" + B62, "URL_CREDS"),
]

KEPT = [
    "1002 1003 1004 1005 1006 1007 1008 1009 4111 1111" + " 1111 1111 1014 1015",
    "test" + AT + "conftest.py",
    "read" + AT + "main.md",
    "10.0.0.1-beta 1.2.3.4-5",
    "<password></password> <password/> <title>a password</title>",
    "gAAAAA" + "-" + "abc_" + B62 + B62,
    "trace 7149a59db7a7cc170b3d0a1deba7323e span 5dff24a9602f9af2",
    "id 123e4567-e89b-12d3-a456-426655440000 and 20120102-3456-7890",
    "at 1811343658438380167 ns, 1772634850 s, 1772634850123 ms",
    "2026-02-27T07:56:56.508445Z 27/02/2026 2026-02-27 07:56 1979-2011",
    "score 0.769228416588082 took 769.8782642177823 ms, 35236450.6 total, 1,032,923 rows, $7414.67",
    "isbn 978-2-41-009201-4, order ORD-29597220, sku 7755035502396, NPI: 2156818207, part number 555-123-4567-A",
    "snowflake 669689240179801445 and 348611586709194",
    "version 1.2.3.4, v10.0.0.1, release=2.3.4.5, 1.2.3, 256.1.1.1, 1.2.3.4.5",
    "std::vector<int>::iterator a::b x[::2] 12:34:56",
    "chatcmpl-xJ5l8SxPueUxGE3UbKCC0zD3BEFZP req_724w22fm3njw57ec56ssram3 toolu_01A09q90qw90lq917835lq9",
    "gpt-4o-2024-08-06 claude-3-5-sonnet-20241022 us.anthropic.claude-3-5-sonnet-20241022-v2:0",
    "icon@2x.png me@upi-gateway root@ @sbi @app.route user@ @scope/package git@github.com:owner/name",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 YaBrowser/24.1.0.0",
    "page_token=CAUQAA&max_tokens=100&pageToken=EAAaHlBUOkNBVWlFRUUyUXpZ&continuation_token=EAAaHlBUOkNBVWlFRUUyUXpZ",
    "tool call started at 1700000000, the next call at 1700000000123",
    "GET KEY user:3f786850e387550fdab836ed7e6dc881, cache key 3f786850e387550fdab836ed7e6dc881, kms key 1234abcd-12ab-34cd-56ef-1234567890ab",
    "http://host:8080/@scope/pkg@1.2.3 and http://{host}:{port}/users@x",
    "postgres://user:${PASSWORD}@db/x amqp://user:****@h curl -u $1:$2 x -u <user:password>",
    "glsa_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX_AAAAAAAA hf_requiredCharacteristicTypesForDisplayMetadata xoxo-indieweb-1",
    "span be12345678901234 and be12abcd89012345 of de89abcdef0123456789ab, 2**1234567, x_415-555-0132, a*+14155550132",
    "def login(password: str, token: Optional[str] = None, api_key=os.environ['KEY']) -> bool:",
    "password is required; token expired; the secret of success; invalid password for user; max_tokens=4096",
    "cache_key=abcdef1234567890abcdef1234567890 primary_key: 3d16964f-5a33-4642-81bd-180ccf9251e1",
    "total_tokens: 123456789012345678 token_count=4155550132 input_tokens: 4155550132",
    "password=${DB_PASSWORD} token={{ token }} secret=%s api_key=<your key>",
    "sk-learn and ask-me-anything, a risk-free-task-force-with-many-words-in-it",
    "change +1234567.89 (+2.31), called 5551234 times, call count 4155550132 and phone calls: 1234567 calls",
    "my order number is 4155550132; limit reached at 4155550132; the number is 4155550132; on 06.12.34 56 at",
    "9/11, 24/7, 50-60, 3-5-2020, 192 168, 100%25, a&b &amp; c:\\new\\temp\\x41",
    "certificate-authority-data: " + base64.b64encode(PEM.replace("RSA PRIVATE KEY", "CERTIFICATE").encode()).decode(),
    "see " + base64.b64encode(b"-----BEGIN is what a PEM file, such as one of a PRIVATE KEY-----, begins with").decode(),
    f"{DASHES}BEGIN CERTIFICATE{DASHES}\nMIIC{B62}\n{DASHES}END CERTIFICATE{DASHES}",
    "the basic idea, the bearer of news, basic authentication, a token of appreciation",
]


def find(engine: Engine, text: str, digits: Digits = Digits.ANY) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.label) for span in detectors.find(engine, text, Budget(10_000), digits)]


@pytest.mark.parametrize(("frame", "value", "label"), FOUND)
def test_found(engine: Engine, frame: str, value: str, label: str) -> None:
    assert find(engine, frame.format(value)) == [(value, label)]


def test_a_range_of_addresses(engine: Engine) -> None:
    assert find(engine, "allow 10.20.30.1-10.20.30.9") == [("10.20.30.1", "IP"), ("10.20.30.9", "IP")]


def test_two_cards_are_no_table(engine: Engine) -> None:
    other = "5555 5555" + " 5555 4444"
    assert find(engine, f"{CARD} {other}") == [(CARD, "CREDIT_CARD"), (other, "CREDIT_CARD")]


@pytest.mark.parametrize("text", KEPT)
def test_left_alone(engine: Engine, text: str) -> None:
    assert find(engine, text) == []


@pytest.mark.parametrize("frame", ["password='{}'", "api_key: {} and", "https://me:{}@host/", "curl -u me:{} x", "Authorization: Bearer {}", "Authorization: '{}'", "cookie: a={}\n"])  # fmt: skip
def test_long_values_go_as_a_whole(engine: Engine, frame: str) -> None:
    secret = "x9!" * 1000 if "Bearer" not in frame else B62 * 100
    text = frame.format(secret)
    (span,) = detectors.find(engine, text, Budget(10_000))
    assert secret in text[span.start : span.end]


def test_several_in_one_text(engine: Engine) -> None:
    text = f"Jane ({SSN}, tel. +1 415 555 0132) paid with {CARD} from 203.0.113.7; mail jane{AT}example.com or 415-555-0199."
    assert [label for _, label in find(engine, text)] == ["US_SSN", "PHONE", "CREDIT_CARD", "IP", "EMAIL", "PHONE"]


def test_lists_of_numbers(engine: Engine) -> None:
    assert [value for value, _ in find(engine, "415-555-0132, 415-555-0133/415-555-0134 (415) 555-0135")] == [
        "415-555-0132", "415-555-0133", "415-555-0134", "(415) 555-0135",
    ]  # fmt: skip


def test_digits_of_an_identifier_are_private_only_if_they_have_what_identifiers_lack(engine: Engine) -> None:
    for value, label in [
        (CARD, "CREDIT_CARD"),
        (CARD.replace(" ", ""), "CREDIT_CARD"),
        (SSN, "US_SSN"),
        (IBAN, "IBAN"),
        ("+1 415 555 0132", "PHONE"),
    ]:
        assert find(engine, f"order {value}", Digits.SURE) == [(value, label)]
        assert find(engine, f"order {value}", Digits.NONE) == []
    assert find(engine, "203.0.113.7 415-555-0132, phone 4155550132, ssn 536904399, card 4111111111112", Digits.SURE) == []


@pytest.mark.parametrize("digits", Digits)
def test_an_address_in_an_identifier_stays_one(engine: Engine, digits: Digits) -> None:
    assert find(engine, "session-of-jane" + AT + "example.com", digits) == [("session-of-jane" + AT + "example.com", "EMAIL")]


def test_what_a_second_look_finds_around_what_is_masked_is_one_with_it(engine: Engine) -> None:
    text = f"#de89 415-555-0132sig -\x1b[0m{CARD}&x=4111111111111111ssn sig"
    ((value, _),) = find(engine, text)
    assert CARD in value
    assert "4111111111111111" in value


def test_numbers_joined_by_a_plus_are_all_found(engine: Engine) -> None:
    assert [value for value, _ in find(engine, "+14155550132+44 20 7946 0958 and +1 415 555 0132 +44 20 7946 0958")] == [
        "+14155550132", "+44 20 7946 0958", "+1 415 555 0132", "+44 20 7946 0958",
    ]  # fmt: skip


def test_checksums_decide(engine: Engine) -> None:
    assert find(engine, "pay " + CARD[:-1] + "2 now") == []
    assert find(engine, "is 000-12-3456, 666-12-3456, 900-12-3456, 536-00-4399, 536-90-0000") == []
    assert find(engine, "to " + IBAN[:-2] + "01 please") == []


def test_the_words_that_are_nearest_decide(engine: Engine) -> None:
    assert find(engine, "Phone: none\nNPI: 2156818207") == []
    assert find(engine, "NPI: none\nPhone: 2156818207") == [("2156818207", "PHONE")]


FRAGMENTS = st.sampled_from(
    [
        *"@.:-/+( )0159aZ=\"'%&\\\n\t_$[]{}", "\u00e9", "\u4e2d", "\u200b", "\uff11", "\u2013", "%40", "&#64;", "\\u0040", "415-555-0132", CARD, SSN, IBAN,
        "203.0.113.7", "jane", "example.com", "password", "token", "Bearer ", "api_key=", "://", "::", "ab:", "-----BEGIN ", "PRIVATE KEY", "eyJ", B62, " dot ",
        " at ", "phone ", "card ", "ssn ", "$2b$", "0a-23-f5-", "DE89", "[EMAIL]", "[PHONE:a123456789]", "Authorization: ", "Cookie: ", " -u ", "xoxb-",
        "#", "*", "\x1b[31m", "\\x1b[1m", IBAN.replace(" ", "").lower(), "xxx-xx-1234", "secret-", "1//0", "Q~", "sig", "me@oksbi", "\u0301", "\u0e01",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=24).map("".join), st.text(max_size=80))


@given(text=TEXTS)
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_engines_agree_span_for_span(engines: tuple[Engine, Engine], text: str) -> None:
    fast, standard = (find(engine, text) for engine in engines)
    assert fast == standard


@given(text=TEXTS)
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spans_are_in_order_inside_the_text_and_apart(engines: tuple[Engine, Engine], text: str) -> None:
    spans = detectors.find(engines[1], text, Budget(10_000))
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


def test_a_card_written_as_one_is_no_part_of_the_table_around_it(engine: Engine) -> None:
    card = CARD.replace(" ", "")
    row = "1002 1003 1004 1005 1006 1007 1008 1009 {} 1014 1015 1016 1017 1018 1019 1020 1021"
    assert find(engine, row.format(card)) == [(card, "CREDIT_CARD")]
    assert find(engine, row.format(CARD)) == []


@pytest.mark.parametrize("digits", ["1700000000", "1700000000123"])
def test_a_number_that_reads_as_a_time_is_a_phone_s_if_it_is_called_so(engine: Engine, digits: str) -> None:
    assert find(engine, f"my phone is {digits}") == [(digits, "PHONE")]
    assert find(engine, f"call me at {digits}") == []


def test_the_address_of_no_device_is_left_alone(engine: Engine) -> None:
    assert find(engine, "lo 00:00:00:00:00:00 and eth0 00:00:00:00:00:01") == [("00:00:00:00:00:01", "MAC")]
