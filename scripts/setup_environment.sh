# shellcheck shell=bash
# Sourced by scripts/demo and scripts/test. `setup_environment FILE` finds Python 3.11, makes the virtual environment
# where there is none, and installs a requirements file into it once: a stamp with the files' hash makes later runs
# install nothing and need no network.
#
# Settings: PYTHON (interpreter to use), VENV_DIR (where the environment lives; default: .venv in the repository),
# PIP_REQUIRE_HASHES=1 (install by requirements.lock.txt, nothing but files whose hashes it has).

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
VENV="${VENV_DIR:-$ROOT/.venv}"
[[ $VENV == /* ]] || VENV="$PWD/$VENV"

export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}" # TensorFlow's start-up notes drown our lines
unset TF_ENABLE_ONEDNN_OPTS PYTHONHOME                    # another setup's settings change the numbers, or the library

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "${0##*/}: $*"
  exit 1
}

is_python_311() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
}

# Make $VENV with whatever can give a Python 3.11.
make_environment() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
    if is_python_311 "$candidate"; then
      say "Making the environment $VENV ..."
      "$candidate" -m venv --without-pip "$VENV" || fail "could not make $VENV"
      touch "$VENV/.unfinished"
      "$VENV/bin/python" -m ensurepip >/dev/null || fail "could not install pip into $VENV"
      return
    fi
    [[ $candidate != "${PYTHON:-}" ]] || say "PYTHON=$PYTHON is not a Python 3.11 with venv; looking further"
  done
  if command -v uv >/dev/null 2>&1; then
    say "Making the environment $VENV with uv's Python 3.11 ..."
    uv venv --quiet --seed --python 3.11 "$VENV" || fail "uv could not make $VENV"
    touch "$VENV/.unfinished"
    return
  fi
  fail "Python 3.11 with its venv module is needed (TensorFlow 2.15 runs on no newer one) and was not found; install" \
    "it (apt install python3.11-venv, brew install python@3.11, or uv) or name it: PYTHON=/path/to/python3.11 $0"
}

# Leave a $VENV that works: as it is, made anew where an earlier run was cut short, or new.
ensure_environment() {
  local python="$VENV/bin/python"
  if [[ ! -e $VENV/.unfinished ]] && "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
      fail "$VENV must hold Python 3.11, got $("$python" --version); remove it or set VENV_DIR to another folder"
    return
  fi
  if [[ -e $VENV/pyvenv.cfg || -e $VENV/.unfinished ]]; then
    say "The environment $VENV is unfinished; making it anew ..."
    rm -rf -- "$VENV"
  elif [[ -n "$(ls -A -- "$VENV" 2>/dev/null)" ]]; then
    fail "$VENV must be a virtual environment or not exist; set VENV_DIR to another folder"
  fi
  make_environment
}

# Print the hash of a requirements file and of the files it includes.
fingerprint() {
  (cd -- "$ROOT" && "$VENV/bin/python" - "$1" constraints.txt requirements.txt) <<'PYTHON'
import hashlib, pathlib, sys
names = sorted(set(sys.argv[1:]))
print(hashlib.sha256(b"\0".join(pathlib.Path(name).read_bytes() for name in names)).hexdigest())
PYTHON
}

# setup_environment requirements.txt | requirements-dev.txt (which includes the former)
setup_environment() {
  local file="$1" wanted name
  ensure_environment
  if [[ -n ${PIP_REQUIRE_HASHES:-} && $file != requirements-current-tf.txt ]]; then
    file=requirements.lock.txt # holds both
  fi
  wanted="$(fingerprint "$file")"
  if [[ "$(cat -- "$VENV/.installed-$file" 2>/dev/null)" == "$wanted" ]]; then
    return
  fi
  say "Installing the pinned requirements of $file (once, about 2 minutes) ..."
  PIP_USER=0 "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    -r "$ROOT/$file" >&2 || fail "pip could not install $file; see its lines above, then run this again"
  for name in requirements.txt "$file"; do
    fingerprint "$name" >"$VENV/.installed-$name"
  done
  rm -f -- "$VENV/.unfinished"
}
