// Ping-pong between two goroutines in Go.
//
//	go build -o ping_pong ping_pong.go && ./ping_pong 1000000
//
// A goroutine has a stack of its own, and the runtime may put it on any core, or take it off one.
// What is printed: a name, and the nanoseconds of one switch.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

func nanosecondsPerSwitch(n int) float64 {
	there, back := make(chan int), make(chan int)
	start := time.Now()
	go func() { // pong
		for message := range there {
			back <- message
		}
	}()
	total := 0
	for i := 0; i < n; i++ { // ping
		there <- i
		total += <-back
	}
	took := time.Since(start)
	close(there)
	if total != n*(n-1)/2 {
		panic("a message was lost")
	}
	return float64(took.Nanoseconds()) / float64(2*n)
}

func best(n int) float64 {
	least := nanosecondsPerSwitch(n)
	for i := 0; i < 4; i++ {
		if again := nanosecondsPerSwitch(n); again < least {
			least = again
		}
	}
	return least
}

func main() {
	n := 1000000
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	fmt.Printf("goroutines %.1f\n", best(n))
	runtime.GOMAXPROCS(1)
	fmt.Printf("goroutines-on-one-core %.1f\n", best(n))
}
