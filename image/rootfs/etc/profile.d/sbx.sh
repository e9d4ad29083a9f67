# /etc/profile sets PATH anew in a login shell: put back what the user installs for themselves, and sbin.
PATH="$HOME/.local/bin:$HOME/.deno/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH
