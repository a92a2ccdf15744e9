# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for mnctl, amactl, hoa-exec, mhtool, mnd and amad
#
# Commands, options and the kinds of their arguments are read from the program's own --help: there is no second list.

# A line an option: --name, a blank, the kind of its argument or nothing.
function __dmm_options
    $argv[1] --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*([ =]|\[=)?[A-Z]*' | sed -E 's/[ =[]+/ /; s/ $//' | sort -u |
        awk '{ if (!($1 in kind) || $2 != "") kind[$1] = $2 } END { for (o in kind) print o, kind[o] }'
end

# A line a command: one or two words, '|', the kind of its argument or nothing.
function __dmm_commands
    $argv[1] --help 2>/dev/null | sed -nE 's/^  ([a-z][a-z-]*( [a-z][a-z-]*)?) +(\[?([A-Z]+|[a-z]+\])\]?)?.*/\1|\4/p' | tr -d ']'
end

function __dmm_values
    switch $argv[1]
        case PATH FILE
            __fish_complete_path $argv[2]
        case DIR
            __fish_complete_directories $argv[2]
        case WHEN
            printf '%s\n' auto always never
        case TYPE
            printf '%s\n' session fixed graceful
        case PID
            __fish_complete_pids
        case UNIT
            systemctl list-unit-files --type=service --no-legend 2>/dev/null | string split -f1 ' '
        case ADDRESS
            mnctl --json leases 2>/dev/null | grep -oE '"address":"[^"]*"' | cut -d'"' -f4
        case NAME
            mnctl --json leases 2>/dev/null | grep -oE '"anchor_name":"[^"]*"' | cut -d'"' -f4
        case WHAT
            echo all
            amactl --json leases 2>/dev/null | grep -oE '"(mn|hnp)":"[^"]*"' | cut -d'"' -f4
        case off
            echo off
    end
end

function __dmm
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -l base (basename $program)
    set -l options (__dmm_options $program)
    set -l commands (__dmm_commands $program)
    set -l plain
    set -l waits
    for word in $words[2..-1]
        if set -q waits[1]
            set -e waits
        else if string match -q -- '-*' $word
            set -l kind (string match -r -- "^$word (.+)" $options)[2]
            test -n "$kind" -a "$word" != --color; and set waits $kind
        else
            set -a plain $word
            if test $base = hoa-exec; and not string match -q -- "$plain[1]|*" $commands
                __fish_complete_subcommand --fcs-skip=(math (contains -i -- $word $words))
                return
            end
        end
    end
    if set -q waits[1]
        __dmm_values $waits $current
    else if string match -q -- '--*=*' $current
        set -l parts (string split -m1 = -- $current)
        set -l kind (string match -r -- "^$parts[1] (.+)" $options)[2]
        for value in (__dmm_values "$kind" $parts[2])
            echo $parts[1]=$value
        end
    else if string match -q -- '-*' $current
        string split -f1 ' ' -- $options
    else
        for line in $commands
            set -l name (string split '|' -- $line)
            set -l count (count $plain)
            if test $count = 0
                string split -f1 ' ' -- $name[1]
            else if test $count = 1; and string match -q -- "$plain[1] *" $name[1]
                string split -f2 ' ' -- $name[1]
            else if test "$name[1]" = "$plain"
                __dmm_values "$name[2]" $current
            end
        end | sort -u
        test $base = hoa-exec; and not set -q plain[1]; and __fish_complete_command
        test $base = mhtool; and set -q plain[1]; and __fish_complete_path $current
    end
end

for program in mnctl amactl hoa-exec mhtool mnd amad
    complete -c $program -f -a '(__dmm)'
end
