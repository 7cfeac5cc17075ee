# "make help" lists what there is.
GO      ?= go
TOOL     = $(GO) tool -modfile=scripts/tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZTIME ?= 30s
BENCHTIME ?= 1s

.PHONY: help run build test format vet lint test-go test-services certs bench slow-peers fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## a TLS service on 127.0.0.1:8120 that greets and echoes; it prints how to try it
	@./bin/tcps serve

build: ## the command, as bin/tcps
	@$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/tcps ./cmd/tcps

test: format vet lint test-go ## everything that needs only Go, a C compiler, make, git and OpenSSL

format:
	@out=$$($(TOOL) gofumpt -l .); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi

vet:
	@for os in linux darwin windows; do echo "vet for $$os"; CGO_ENABLED=0 GOOS=$$os $(GO) vet ./... || exit 1; done
	@$(GO) vet -tags services ./cmd/tcps

lint:
	@$(TOOL) staticcheck ./...

test-go:
	@$(GO) test -race -shuffle=on -timeout 15m ./...

test-services: ## checks against other people's programs, which it installs (Debian, as root)
	@./scripts/test-services

certs: build ## an authority, a server's and a client's certificate under certs/local
	@./scripts/make-certs

bench: ## benchmarks of the packages
	@$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

slow-peers: build ## what 2,000 slow connections cost an ordinary client's handshake
	@$(GO) run ./scripts/trials slow-peers

fuzz: ## every fuzz target, one after the other, each for FUZZTIME (30s): 20 minutes in all
	@./scripts/fuzz $(FUZZTIME)

clean: ## what was built
	@rm -rf bin
