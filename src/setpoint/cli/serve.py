"""`setpoint serve`: a local page with the experiments of the workspace, their progress, curves and logs."""

import argparse
import socket
import webbrowser

from setpoint.cli.options import add_workspace, workspace_of
from setpoint.errors import InputError, shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; the address is the only line on stdout."""
    import uvicorn

    from setpoint.server.app import HOST, make_app, new_token

    workspace, token = workspace_of(arguments), new_token()
    app = make_app(workspace, token)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, arguments.port))
            listening.listen()  # from here on, requests wait for the server
        except OSError as error:
            raise InputError(f"port {arguments.port} cannot be used ({error.strerror}). Choose another one.") from error
        address = f"http://{HOST}:{listening.getsockname()[1]}/{token}/"
        print(address, flush=True)
        if arguments.open:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 <= int(text) < 65536:
        raise InputError(f"must be a port from 0 to 65535, got {shown(text)}")
    return int(text)
