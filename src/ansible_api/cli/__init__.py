"""Door 3: the command line; each command is a module that is loaded only when it is called."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from ansible_api.cli.exits import CommandError, Exit, exits_in_help
from ansible_api.errors import AnsibleApiError

# Command → the module of this package whose `app` it is. Client commands never load the service's libraries.
COMMANDS = {
    "up": "up",
    "api": "api",
    "worker": "worker",
    "flower": "flower",
    "db": "db",
    "bucket": "bucket",
    "keys": "keys",
    "webhook-secret": "webhook_secret",
    "submit": "submit",
    "watch": "watch",
    "logs": "logs",
    "jobs": "jobs",
    "cancel": "cancel",
    "relaunch": "relaunch",
    "queues": "queues",
}


class LazyGroup(TyperGroup):
    """Loads a command when it is named, and turns every error into a message and a documented exit code."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """The commands in the order of --help."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = import_module(f"{__name__}.{COMMANDS[cmd_name]}")
            command = typer.main.get_command(module.app)
            command.name = cmd_name  # a group does not know its own
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Read the options before the command's name."""
        try:
            return super().make_context(*arguments, **extra)
        except typer.TyperException as error:
            raise _with_our_code(error) from None

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command."""
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            raise _with_our_code(error) from None
        except (CommandError, AnsibleApiError) as error:
            typer.echo(f"ansible-api: {error}", err=True)
            raise typer.Exit(error.exit_code if isinstance(error, CommandError) else Exit.REFUSED) from None


def _with_our_code(error: typer.TyperException) -> typer.TyperException:
    # Typer's own code for wrong usage is 2, which here means that the job failed.
    error.exit_code = Exit.REFUSED
    return error


app = typer.Typer(
    cls=LazyGroup,
    name="ansible-api",
    help="Run Ansible over a REST API.",
    epilog=exits_in_help(),
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _main() -> None:
    pass
