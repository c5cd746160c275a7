module encoders

go 1.22

require (
	github.com/klauspost/compress v1.15.11
	github.com/klauspost/pgzip v1.2.5
)
