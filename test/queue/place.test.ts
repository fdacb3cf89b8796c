import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { queuePlace } from '#tokensieve/queue/connection.js';
import { partId, spreadBackoff } from '#tokensieve/queue/jobs.js';

describe('where a queue is', () => {
  it.each([
    ['redis://example.org', { host: 'example.org', port: 6379 }, 'example.org:6379'],
    ['redis://:p%40ss@h:7000/2', { host: 'h', port: 7000, password: 'p@ss', db: 2 }, 'h:7000/2'],
    ['rediss://u:p@h', { host: 'h', username: 'u', password: 'p', tls: {} }, 'h:6379'],
    ['redis://[::1]:6380', { host: '::1', port: 6380 }, '::1:6380'],
  ])('is read from %s', (url, connection, name) => {
    const place = queuePlace(url);
    expect(place.connection).toMatchObject(connection);
    expect(place.name).toBe(name);
  });

  it('is refused in words that have no password, whatever is wrong', () => {
    const wrong = ['secret', 'http://u:secret@h', 'redis://u:secret@h/secret', 'redis://:secret@h:port'];
    for (const url of wrong) {
      let message = '';
      try {
        queuePlace(url);
      } catch (error) {
        message = String(error);
      }
      expect(message).toMatch(/Redis URL/);
      expect(message).not.toContain('secret');
    }
  });
});

describe('jobs', () => {
  it('have ids that tell parts apart, whatever their shards are called', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(), fc.nat(), (a, b, i, j) => {
        const [one, other] = [partId('run.0', a, i), partId('run.0', b, j)];
        expect(one === other).toBe(a === b && i === j);
        expect(one).toMatch(/^run\.0\.[0-9a-f]{16}\.\d+$/);
      }),
    );
  });

  it('wait longer after each failure, at most an hour, and not all alike', () => {
    const delays = [1, 2, 3, 30].map((made) => [
      spreadBackoff(made, 1000, () => 0),
      spreadBackoff(made, 1000, () => 1),
    ]);
    expect(delays).toEqual([
      [500, 1000],
      [1000, 2000],
      [2000, 4000],
      [1_800_000, 3_600_000],
    ]);
  });
});
