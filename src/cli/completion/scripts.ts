/**
 * The scripts that `sbx completion` prints. Each asks the hidden command `sbx complete`, which answers one candidate a
 * line (value, tab, description) and may add `:files` (names of files fit as well) and `:nospace`.
 */

export const COMPLETION_SHELLS = ["bash", "zsh", "fish"] as const;

export type CompletionShell = (typeof COMPLETION_SHELLS)[number];

// bash breaks words at : and = and replaces only the last piece, so what lies before it is taken off the candidates.
const BASH = `# bash completion for sbx; load it with: source <(sbx completion bash)
_sbx() {
  local line=\${COMP_LINE:0:COMP_POINT} current kept answer files=
  current=\${line##*[[:space:]]}
  kept=\${current%"\${current##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r answer; do
    case $answer in
      :files) files=1 ;;
      :nospace) compopt -o nospace ;;
      *) COMPREPLY+=("\${answer#"$kept"}") ;;
    esac
  done < <(sbx complete --line "$line" 2>/dev/null | cut -f 1)
  if [[ -n $files ]]; then
    [[ \${#COMPREPLY[@]} -eq 0 ]] && compopt +o nospace -o default
    while IFS= read -r answer; do COMPREPLY+=("$answer"); done < <(compgen -f -- "$current")
    [[ \${#COMPREPLY[@]} -gt 0 ]] && compopt -o filenames
  fi
}
complete -F _sbx sbx
`;

const ZSH = `#compdef sbx
# zsh completion for sbx; load it with: source <(sbx completion zsh)
_sbx() {
  local answer value files nospace
  local -a described
  while IFS= read -r answer; do
    case $answer in
      :files) files=1 ;;
      :nospace) nospace=1 ;;
      *)
        value=\${answer%%$'\\t'*}
        described+=("\${value//:/\\\\:}\${\${answer#$value}/$'\\t'/:}")
        ;;
    esac
  done < <(sbx complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if [[ -n $nospace ]]; then
    _describe sbx described -S ''
  else
    _describe sbx described
  fi
  [[ -n $files ]] && _files
}
if [[ \${funcstack[1]} = _sbx ]]; then
  _sbx "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _sbx sbx
fi
`;

const FISH = `# fish completion for sbx; load it with: sbx completion fish | source
function __sbx_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    sbx complete -- $before[2..-1] "$current" 2>/dev/null | while read -l answer
        switch $answer
            case ':files'
                __fish_complete_path "$current"
            case ':nospace'
            case '*'
                echo $answer
        end
    end
end
complete -c sbx -f -a '(__sbx_complete)'
`;

export const COMPLETION_SCRIPTS: Readonly<Record<CompletionShell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
