"""`cli.py completion`: print the script with which a shell completes commands and options.

The program itself completes a line if `_..._COMPLETE` is set, see typer. Typer's own scripts (`--show-completion`) know
one word as the name of the program; these also know `python cli.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fastapi_ignite.cli.output import Json, print_result

BASH = r"""
_fastapi_ignite() {
    local IFS=$'\n' first=0
    [[ ${COMP_WORDS[0]##*/} == python* ]] && first=1
    if ((first)) && [[ ${COMP_WORDS[1]##*/} != cli.py || $COMP_CWORD -lt 2 ]]; then
        return 0
    fi
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]:first}" COMP_CWORD=$((COMP_CWORD - first)) \
        _CLI.PY_COMPLETE=complete_bash _FASTAPI_IGNITE_COMPLETE=complete_bash "${COMP_WORDS[@]:0:first+1}" ) )
}
complete -o default -F _fastapi_ignite fastapi-ignite cli.py python python3
"""
ZSH = r"""
_fastapi_ignite() {
    local -i first=1
    [[ ${words[1]:t} == python* ]] && first=2
    if (( first == 2 )) && [[ ${words[2]:t} != cli.py || $CURRENT -lt 3 ]]; then
        _files
        return
    fi
    eval "$(env _TYPER_COMPLETE_ARGS="${words[first,CURRENT]}" \
        _CLI.PY_COMPLETE=complete_zsh _FASTAPI_IGNITE_COMPLETE=complete_zsh "${(@)words[1,first]}")"
}
compdef _fastapi_ignite fastapi-ignite cli.py python python3
"""
FISH = r"""
function __fastapi_ignite
    set -l words (commandline -opc)
    set -l line (commandline -cp)
    set -l program $words[1]
    if string match --quiet --regex 'python[0-9.]*$' -- $words[1]
        set program $words[1..2]
        set line (string replace --regex '^\S+\s+' '' -- $line)
    end
    env _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=$line \
        _CLI.PY_COMPLETE=complete_fish _FASTAPI_IGNITE_COMPLETE=complete_fish $program
end
for program in fastapi-ignite cli.py
    complete --command $program --arguments '(__fastapi_ignite)'
end
for program in python python3
    complete --command $program --arguments '(__fastapi_ignite)' \
        --condition 'string match --quiet --regex "^\S+\s+\S*cli\.py\s" -- (commandline -cp)'
end
"""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS = {Shell.BASH: BASH, Shell.ZSH: ZSH, Shell.FISH: FISH}


def register(app: typer.Typer) -> None:
    app.command("completion")(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")], *, as_json: Json = False) -> None:
    """Print a script for your shell, which then completes commands and options. `source` it when a shell starts."""
    script = SCRIPTS[shell].strip()
    print_result(script, {"shell": shell, "script": script}, as_json=as_json)
