# SPDX-License-Identifier: MIT
"""Which names hold secrets: ``db_password``, ``X-Api-Key``, ``sessionId`` - and not ``author`` or
``sort_key``.

A name is taken apart at its separators and camel humps. Some parts give a secret away wherever they stand
inside the name ("password" in ``mypasswordfile``), others only as a word of their own ("auth", so that
``author`` stays), and "key" only after a word that makes it a secret one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# As texts, which are read faster than so many constants.

#: In any place of the name, separators and case left out; and "token", where it is not about tokens.
STEMS: tuple[str, ...] = tuple(
    str.split("""
    password passwd passphrase passcode secret credential authorization authorisation cookie csrf xsrf
    sessionid sessid sessionkey jwt bearer saml apikey privatekey accesskey authkey signingkey encryptionkey
    decryptionkey masterkey sshkey licensekey passkey accountkey sharedkey storagekey hmackey fernetkey
    connectionstring connstr creditcard cardnumber cardno securitycode pincode xapikey dbpass userpass oauth
    mnemonic seedphrase
""")
)

#: In any place of one word of the name.
WORD_STEMS: tuple[str, ...] = ("pwd", "passw")

#: As a whole word of the name.
WORDS = frozenset(
    str.split("""
    auth authn authz sid sso creds cred otp totp cvv cvc cvv2 ssn iban dsn session pw passwort contrasena
    ccnumber phpsessid pswd
""")
)

#: Words that make a following "key" (or "keys") a secret.
KEY_OWNERS = frozenset(
    str.split("""
    api app application private access auth signing sign encryption encrypt crypto crypt decryption master
    enc ssh license licence gpg pgp aes rsa dsa hmac client server service account storage shared deploy stripe
    aws azure gcp openai anthropic sentry sendgrid mailgun twilio webhook fernet jwt ssl tls pass root admin
    wallet recovery bearer subscription functions
""")
)

#: A last word that ends with "pass" is a password (``db_pass``, ``smtppass``, and ``pass`` alone), but for these;
#: elsewhere it is not (``pass_count``).
_LAST = ("pass",)
_ENDS_ALIKE = ("bypass", "compass", "trespass", "surpass", "overpass", "underpass", "encompass", "allpass", "lowpass",
               "highpass", "bandpass", "multipass", "singlepass")  # fmt: skip

#: One of these stands in each stem and friend, in "key" and in "token": a name without any is looked up in WORDS alone.
_ROOTS: tuple[str, ...] = tuple(
    str.split("""
    pass key auth cre cookie ess srf jwt bearer saml conn card pwd code tok mnemonic seedphrase
""")
)

#: Of ASCII, what is no part of a word, made blanks.
_BLANKS = bytes(sign if chr(sign).isalnum() else 32 for sign in range(128)) + bytes(128)

#: Personal data of the request, filtered unless send_default_pii is on.
PERSONAL: tuple[str, ...] = (
    "xforwardedfor",
    "xrealip",
    "ipaddress",
    "remoteaddr",
    "clientip",
    "forwardedfor",
    # of proxies and of what asks for a name before the application does
    "connectingip",
    "connectionip",
    "socketip",
    "userip",
    "remoteip",
    "originatingip",
    "externaladdress",
    "remoteuser",
    "forwardeduser",
    "forwardedemail",
    "preferredusername",
    "oidcidentity",
    "clientprincipal",
)

#: Beginnings of words that only look like a stem.
_FRIENDS: tuple[str, ...] = ("tokeni", "secretar", "cookiecutter", "tokenless", "passwordless", "coauthor")

#: Words that tell of counting or describing tokens, not of holding one.
_ABOUT_TOKENS = frozenset(
    str.split("""
    max min num n total prompt completion input output count counts usage used cached reasoning limit type
    types length len per endpoint budget expires expiry bucket ids logprobs embedding embeddings eos bos pad unk sep cls
    special stop
""")
)

#: A last word that makes of a name one of what a secret is like, not of what it is: ``session_count``, ``auth_type``.
_DESCRIBING = frozenset(
    str.split("""
    count counts total timeout age ttl expired expires expiry expiration lifetime duration valid enabled disabled
    required exempt length len min max size limit attempts retries type types method methods backend backends provider
    providers policy validators hashers algorithm algorithms issuer scope scopes engine factory maker model failed
    reason exists missing changed domain samesite secure httponly name names arn origins start started end ended
""")
)
#: Tokens that say where a list goes on.
_PAGES = frozenset(
    str.split("""
    nexttoken pagetoken nextpagetoken prevpagetoken continuationtoken nextcontinuationtoken paginationtoken synctoken
    nextsynctoken
""")
)


_BEFORE_TABLES = frozenset(("into", "from", "join", "update", "table"))


def has_any(text: str, parts: Iterable[str]) -> bool:
    """Whether one of *parts* stands in *text*."""
    for part in parts:  # noqa: SIM110  (the operator is more than twice as fast as any() of whatever does without it)
        if part in text:
            return True
    return False


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: ``X-ApiKey`` is x, api, key; ``HTTPServer`` is httpserver."""
    if name.isascii() and (name.islower() or name.isupper()):  # as most are: there are no humps
        return name.lower().encode().translate(_BLANKS).decode().split()
    words: list[str] = []
    word = ""
    hump = False
    for char in name:
        if not char.isalnum():
            if word:
                words.append(word)
            word = ""
            hump = False
            continue
        if hump and char.isupper():
            words.append(word)
            word = ""
        word += char.lower()
        hump = char.islower()
    if word:
        words.append(word)
    return words


def is_secret(words: list[str], own_stems: Iterable[str] = ()) -> bool:
    """Whether a name of these words holds a secret, by our lists and *own_stems*."""
    joined = "".join(words)
    if has_any(joined, own_stems):
        return True
    if not has_any(joined, _ROOTS):
        return not WORDS.isdisjoint(words) and not _is_describing(words)
    if _is_describing(words) or joined in _PAGES:
        return False
    words = [word for word in words if not word.startswith(_FRIENDS)]
    joined = "".join(words)
    if has_any(joined, STEMS) or ("token" in joined and not _is_about_tokens(words)):
        return True
    last = len(words) - 1
    for position, word in enumerate(words):
        if word in WORDS or (position == last and word.endswith(_LAST) and not word.endswith(_ENDS_ALIKE)):
            return True
        if word in ("key", "keys") and position and words[position - 1] in KEY_OWNERS:
            return True
        if has_any(word, WORD_STEMS):
            return True
    return False


#: Names of what holds SQL, and of what is filled into it.
STATEMENTS = frozenset(("sql", "query", "statement", "operation"))
FILLED_IN = frozenset(("params", "parameters", "effective_parameters", "param_list", "vars", "args"))
_LONGEST_STATEMENT = 8192

#: Names of variables that hold a secret where one of some others stands beside them: the key of a signature or a
#: cipher, as in PyJWT's frames at every token that has expired; of a password; a user with one, as part of a URL.
_SIGNING = frozenset(
    str.split("""
    algorithm algorithms signing_input sig digestmod jwt jws jwe jwk hmac cipher ciphertext plaintext nonce iv
""")
)
_COMPANIONS = {
    "key": _SIGNING,
    "keys": _SIGNING,
    "prepared_key": _SIGNING,
    "hash": frozenset(("salt", "encoded")),
    "userinfo": frozenset(("host", "hostname", "passwd", "password", "scheme")),
}


def secret_by_company(names: Iterable[str]) -> frozenset[str]:
    """Those of variables' *names* that hold a secret for the ones that stand beside them."""
    found = [name for name in names if name in _COMPANIONS]
    if not found:
        return _NONE
    company = frozenset(names)
    return frozenset([name for name in found if not company.isdisjoint(_COMPANIONS[name])])


_NONE: frozenset[str] = frozenset()


def in_statement(statement: str, is_secret: Callable[[str], bool]) -> bool:
    """Whether *statement*, which is SQL, names a column that holds a secret; tables are not meant."""
    plain = statement[:_LONGEST_STATEMENT].replace('"', "").replace("`", "")
    before = ""
    for word in "".join([sign if sign.isalnum() or sign in "_." else " " for sign in plain]).split():
        if before not in _BEFORE_TABLES and is_secret(word.rpartition(".")[2]):
            return True
        before = word.lower()
    return False


def _is_describing(words: list[str]) -> bool:
    last = words[-1] if len(words) > 1 else ""
    return last in _DESCRIBING or (last == "at" and words[-2].endswith(("ed", "es")))


def _is_about_tokens(words: list[str]) -> bool:
    return ("token" in words or "tokens" in words) and not _ABOUT_TOKENS.isdisjoint(words)
