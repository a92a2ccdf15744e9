# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for mnctl, amactl, hoa-exec, mhtool, mnd and amad
#
# Commands, options and the kinds of their arguments are read from the program's own --help: there is no second list.

# options PROGRAM: a line an option, with the kind of its argument if it takes one
_dmm_options() {
	"$1" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*([ =]|\[=)?[A-Z]*' | sed -E 's/[ =[]+/ /; s/ $//' | sort -u |
		awk '{ if (!($1 in kind) || $2 != "") kind[$1] = $2 } END { for (o in kind) print o, kind[o] }'
}

# commands PROGRAM: a line a command, one or two words, and the kind of its argument
_dmm_commands() {
	"$1" --help 2>/dev/null | sed -nE 's/^  ([a-z][a-z-]*( [a-z][a-z-]*)?) +(\[?([A-Z]+|[a-z]+\])\]?)?.*/\1|\4/p' | tr -d ']'
}

# what KIND PREFIX: candidates
_dmm_values() {
	local -a mnctl=(mnctl --json)
	case $1 in
	PATH | FILE) compgen -f -- "$2" ;;
	DIR) compgen -d -- "$2" ;;
	WHEN) compgen -W "auto always never" -- "$2" ;;
	TYPE) compgen -W "session fixed graceful" -- "$2" ;;
	PID) compgen -W "$(cd /proc && echo [0-9]*)" -- "$2" ;;
	UNIT) compgen -W "$(systemctl list-unit-files --type=service --no-legend 2>/dev/null | cut -d' ' -f1)" -- "$2" ;;
	ADDRESS) compgen -W "$("${mnctl[@]}" leases 2>/dev/null | grep -oE '"address":"[^"]*"' | cut -d'"' -f4)" -- "$2" ;;
	NAME) compgen -W "$("${mnctl[@]}" leases 2>/dev/null | grep -oE '"anchor_name":"[^"]*"' | cut -d'"' -f4)" -- "$2" ;;
	WHAT) compgen -W "all $(amactl --json leases 2>/dev/null | grep -oE '"(mn|hnp)":"[^"]*"' | cut -d'"' -f4)" -- "$2" ;;
	off) compgen -W off -- "$2" ;;
	esac
}

_dmm() {
	local program=$1 line=${COMP_LINE:0:COMP_POINT} cur prev="" word option kind name i skip="" first="" second="" last=""
	local -a words=()
	local -A takes=()

	COMPREPLY=()
	cur=${line##*[[:space:]]} # not as bash splits it: addresses have colons
	read -ra words <<<"${line%"$cur"}"
	while read -r option kind; do takes[$option]=$kind; done < <(_dmm_options "$program")
	for ((i = 1; i < ${#words[@]}; i++)); do # the words that are no options
		word=${words[i]}
		prev=""
		if [[ $skip ]]; then
			skip=""
		elif [[ $word == -- ]]; then
			((i++))
			break
		elif [[ $word == --*=* ]]; then
			:
		elif [[ $word == -* ]]; then
			[[ ${takes[$word]-} && $word != --color ]] && skip=1 prev=$word
		elif [[ ${program##*/} == hoa-exec ]] && [[ ! $'\n'$(_dmm_commands "$program") == *$'\n'"$word|"* ]]; then
			break # the command to run, and all behind it
		elif [[ -z $first ]]; then
			first=$word
		else
			second=${second:-$word}
		fi
	done
	if [[ ${program##*/} == hoa-exec && $i -lt ${#words[@]} ]]; then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$i"
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		return
	fi
	if [[ $prev ]]; then
		mapfile -t COMPREPLY < <(_dmm_values "${takes[$prev]}" "$cur")
	elif [[ $cur == --*=* ]]; then
		mapfile -t COMPREPLY < <(_dmm_values "${takes[${cur%%=*}]-}" "${cur#*=}")
		cur=${cur#*=}
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${!takes[*]}" -- "$cur")
	else
		while IFS='|' read -r name kind; do
			if [[ -z $first ]]; then
				last=${name%% *}
			elif [[ $name == "$first "* && -z $second ]]; then
				last=${name#* }
			elif [[ $name == "$first" && -z $second ]] || [[ $name == "$first $second" ]]; then
				mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(_dmm_values "$kind" "$cur")
				continue
			else
				continue
			fi
			[[ $last == "$cur"* && " ${COMPREPLY[*]} " != *" $last "* ]] && COMPREPLY+=("$last")
		done < <(_dmm_commands "$program")
		if [[ ${program##*/} == hoa-exec && -z $first ]]; then
			mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -c -- "$cur")
		elif [[ ${program##*/} == mhtool && $first ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
	fi
	if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then # readline replaces only what is behind the last colon
		for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"${cur%:*}:"}; done
	fi
}
complete -o filenames -o bashdefault -F _dmm mnctl amactl hoa-exec mhtool mnd amad
