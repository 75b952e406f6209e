#!/bin/sh
# Prints the path of the first working Python of one of the versions given, from the PATH,
# then from pyenv; prints nothing where there is none:
#     find_python.sh 3.11 3.12

wanted="$*"

# A pyenv shim may exist and fail, and a system Python may lack what makes environments.
print_if_wanted() {
    "$1" - $wanted 2>/dev/null <<'PYTHON'
import sys
import ensurepip, venv
version = "%d.%d" % sys.version_info[:2]
if version not in sys.argv[1:]:
    sys.exit(1)
print(sys.executable)
PYTHON
}

print_if_wanted python3 && exit
for version in $wanted; do
    print_if_wanted "python$version" && exit
done
for version in $wanted; do
    for python in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        print_if_wanted "$python" && exit
    done
done
exit 0
