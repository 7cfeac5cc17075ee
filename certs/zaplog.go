package certs

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// certmagic logs to zap. What it says goes to the Manager's slog.Logger: as it is what warns, and all else at the level
// Debug, since the Manager itself says what its user wants to know.

// zapLogger makes a zap logger of a slog one; nil: a silent one.
func zapLogger(log *slog.Logger) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	return zap.New(&slogCore{handler: log.Handler()})
}

// saidBetter are messages about failures that the Manager reports itself, with the time of the next attempt.
var saidBetter = []string{
	"will retry", "job failed", "could not get certificate from issuer", "validating authorization", "challenge failed",
	"final attempt; giving up", "updating ARI", "failed updating renewal info from ACME CA", "ARI window or selected renewal time changed",
}

type slogCore struct {
	handler slog.Handler
	with    []zapcore.Field
}

func (c *slogCore) level(e zapcore.Entry) slog.Level {
	switch {
	case e.Level < zapcore.WarnLevel, slices.Contains(saidBetter, e.Message):
		return slog.LevelDebug
	case e.Level == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Enabled lets everything through to Check, which knows the message.
func (c *slogCore) Enabled(zapcore.Level) bool { return true }

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{c.handler, append(slices.Clip(c.with), fields...)}
}

func (c *slogCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.handler.Enabled(context.Background(), c.level(e)) {
		return to.AddCore(e, c)
	}
	return to
}

func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	record := slog.NewRecord(e.Time, c.level(e), "certificate manager: "+e.Message, 0)
	encoded := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(c.with), fields...) {
		f.AddTo(encoded)
		if value, ok := encoded.Fields[f.Key]; ok {
			record.AddAttrs(slog.Any(f.Key, value))
		}
	}
	return c.handler.Handle(context.Background(), record)
}

func (c *slogCore) Sync() error { return nil }
