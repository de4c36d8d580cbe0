"""What a shell has to run so that it asks for completions."""

from __future__ import annotations

from enum import StrEnum


class Shell(StrEnum):
    """A shell that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_BASH = r"""# bash completion of jobworker-cli: source <(jobworker-cli completion bash)
_jobworker_cli() {
  local line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]} words=() found=() word
  # Words as the shell passes them: bash itself splits at = and :, which labels and addresses have.
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  local last=${words[-1]}
  mapfile -t found < <("${words[0]}" completion words -- "${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  local before=${last%"$current"}
  [[ $current == "=" || $current == ":" ]] && before=$last
  for word in "${found[@]%%$'\t'*}"; do
    case $word in
      :files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
      :directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
      :commands) mapfile -t COMPREPLY < <(compgen -c -- "$current") ;;
      *) COMPREPLY+=("${word#"$before"}") ;;
    esac
  done
  [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
  return 0
}
complete -F _jobworker_cli jobworker-cli
"""

_ZSH = r"""#compdef jobworker-cli
# zsh completion of jobworker-cli: source <(jobworker-cli completion zsh), after compinit
_jobworker_cli() {
  local -a found described
  local line word help
  found=("${(@f)$("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $found; do
    word=${line%%$'\t'*}
    help=${line#*$'\t'}
    case $word in
      (:files) _files ;;
      (:directories) _files -/ ;;
      (:commands) _command_names ;;
      ('') ;;
      (*) described+=("${word//:/\\:}${help:+:$help}") ;;
    esac
  done
  (( $#described )) && _describe -V 'jobworker-cli' described
}
compdef _jobworker_cli jobworker-cli
"""

_FISH = r"""# fish completion of jobworker-cli: jobworker-cli completion fish | source
function __jobworker_cli
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] completion words -- $words[2..] $current 2>/dev/null)
        switch $line
            case ':files*'
                __fish_complete_path $current
            case ':directories*'
                __fish_complete_directories $current
            case ':commands*'
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end
complete -c jobworker-cli -f -a '(__jobworker_cli)'
"""

SCRIPTS = {Shell.BASH: _BASH, Shell.ZSH: _ZSH, Shell.FISH: _FISH}
