# Sourced by the scripts beside it: makes .venv and installs this package into it.

# install_package [EXTRAS]: nothing is done where the same pyproject.toml is installed already.
install_package() {
    if [ ! -x .venv/bin/python ]; then
        local python
        python=$(find_python)
        "$python" -m venv .venv
    fi
    local extras="${1:+[$1]}"
    local stamp=".venv/installed${1:+-$1}"
    if ! cmp -s pyproject.toml "$stamp"; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".$extras"
        cp pyproject.toml "$stamp"
    fi
}

find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "No Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON=path." >&2
    return 1
}
