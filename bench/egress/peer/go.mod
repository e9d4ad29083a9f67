module sbx/bench/peer

go 1.22
