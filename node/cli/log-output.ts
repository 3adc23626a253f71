// Lines to standard output, many at a time. Waits while the reader of a pipe is slower, and ends without a
// word when it has gone, as `head` does.

const BUFFERED_CHARACTERS_MAX = 64 * 1024;

export class LineOutput {
  /** Nobody reads any more. */
  isClosed = false;
  private buffered: string[] = [];
  private characters = 0;

  constructor(private readonly stream: NodeJS.WriteStream = process.stdout) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      this.isClosed = true;
    });
  }

  async lines(lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      this.buffered.push(line, '\n');
      this.characters += line.length + 1;
    }
    if (this.characters > BUFFERED_CHARACTERS_MAX) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.buffered.join('');
    this.buffered = [];
    this.characters = 0;
    if (this.isClosed || text === '') return;
    await new Promise<void>((resolve) => this.stream.write(text, () => resolve()));
  }
}
