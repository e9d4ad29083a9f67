module sbx.test/goserver

go 1.22
