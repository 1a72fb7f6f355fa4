"""What runs on the nodes: the script that asks services for their certificates. It is text to the plugin, and Python 3 to the node."""

# For each endpoint of PLENUM_ENDPOINTS one line of JSON: its key, and its certificate (DER in base64) or what was in the way. The certificate
# is not verified: one that is expired or unknown is what we look for.
SCRIPT = r'''
import base64, json, os, socket, ssl, struct, sys, warnings

# That old versions of TLS are old is known.
warnings.simplefilter("ignore")

TIMEOUT = 5


def exactly(s, count):
    out = b""
    while len(out) < count:
        part = s.recv(count - len(out))
        if not part:
            raise OSError("the connection was closed")
        out += part
    return out


def postgresql(s):
    # SSLRequest: the server answers S, or N when it speaks plain text only.
    s.sendall(struct.pack("!ii", 8, 80877103))
    return exactly(s, 1) == b"S"


def mysql(s):
    # The greeting holds the server's capabilities in two halves; bit 11 is TLS.
    size = int.from_bytes(exactly(s, 4)[:3], "little")
    greeting = exactly(s, size)
    if greeting[:1] == b"\xff":
        raise OSError("the server refused: " + greeting[3:].decode("utf-8", "replace"))
    at = greeting.index(b"\0", 1) + 1 + 4 + 8 + 1
    if not struct.unpack("<H", greeting[at : at + 2])[0] & 0x800:
        return False
    # CLIENT_PROTOCOL_41 | CLIENT_SSL | CLIENT_SECURE_CONNECTION, largest packet, utf8.
    s.sendall(struct.pack("<I", 32)[:3] + b"\x01" + struct.pack("<IIB23x", 0x8A00, 1 << 24, 33))
    return True


def redis(endpoint):
    # A plain server waits for the end of a line, and TLS has none: so it is asked for what only a plain one answers.
    try:
        with socket.create_connection((endpoint["address"], endpoint["port"]), TIMEOUT) as s:
            s.settimeout(2)
            s.sendall(b"PING\r\n")
            return s.recv(1) not in (b"+", b"-")
    except (ConnectionResetError, socket.timeout):
        return True


def ask(endpoint):
    if endpoint["model"] == "redis" and not redis(endpoint):
        return {"plain": True}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Old servers are to be seen too.
    try:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    except (ValueError, ssl.SSLError):
        pass
    path = endpoint["address"]
    with socket.create_connection((path, endpoint["port"]), TIMEOUT) as s:
        s.settimeout(TIMEOUT)
        before = {"postgresql": postgresql, "mysql": mysql}.get(endpoint["model"])
        if before and not before(s):
            return {"plain": True}
        try:
            with context.wrap_socket(s, server_hostname=endpoint.get("name") or None) as tls:
                return {"der": base64.b64encode(tls.getpeercert(True) or b"").decode()}
        except ssl.SSLError as e:
            if e.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
                return {"plain": True}
            raise


for endpoint in json.loads(os.environ["PLENUM_ENDPOINTS"]):
    try:
        found = ask(endpoint)
    except (ConnectionResetError, BrokenPipeError):
        # A server that speaks plain text hangs up on what it does not understand.
        found = {"plain": True}
    except Exception as e:
        found = {"problem": "%s: %s" % (type(e).__name__, e)}
    found["key"] = endpoint["key"]
    print(json.dumps(found))
    sys.stdout.flush()
'''
