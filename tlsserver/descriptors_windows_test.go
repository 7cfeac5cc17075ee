package tlsserver_test

func serveWithFewDescriptors() {}
